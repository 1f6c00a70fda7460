// From the API's rows to what is drawn: bars with the model's word on them, marks at bars. Positions on a chart are floats; figures stay text.

import type { UTCTimestamp } from 'lightweight-charts'
import type { Candle, Decision, Fill, ModelDetail, Prediction } from '../../lib/api/types.ts'
import { decimal, plotted } from '../../lib/format/decimal.ts'

export interface Bar {
  time: UTCTimestamp
  open: number
  high: number
  low: number
  close: number
  volume: number
  probability: number | null
  candle: Candle
  prediction: Prediction | null
}

export interface Mark {
  time: UTCTimestamp
  kind: 'buy' | 'sell' | 'veto'
  words: string
}

export interface Threshold {
  price: number
  words: string
  kind: 'long' | 'short' | 'exit'
}

/** Rows come newest first, bars go out oldest first; a prediction belongs to the bar that closed last when it was made. */
export function barsOf(candles: readonly Candle[], predictions: readonly Prediction[], intervalS: number): Bar[] {
  const said = new Map(predictions.map((row) => [barTime(row.at, intervalS), row]))
  const bars: Bar[] = []
  for (const candle of candles.toReversed()) {
    const [open, high, low, close] = [plotted(candle.open), plotted(candle.high), plotted(candle.low), plotted(candle.close)]
    if (open === null || high === null || low === null || close === null) continue
    const time = (Date.parse(candle.open_at) / 1000) as UTCTimestamp
    if (bars.length > 0 && bars[bars.length - 1]!.time >= time) continue
    const prediction = said.get(barTime(candle.close_at, intervalS)) ?? null
    bars.push({ time, open, high, low, close, volume: plotted(candle.volume) ?? 0, probability: plotted(prediction?.probability), candle, prediction })
  }
  return bars
}

/** The opening time of the bar in which something happened. */
export function barTime(at: string, intervalS: number): UTCTimestamp {
  const seconds = Date.parse(at) / 1000
  return (Math.floor(seconds / intervalS) * intervalS) as UTCTimestamp
}

/** Fills of one bar and side become one mark with their number or quantity; a veto stands at the bar whose close it judged. */
export function marksOf(fills: readonly Fill[], vetoes: readonly Decision[], intervalS: number): Mark[] {
  const byBar = new Map<string, { mark: Mark; fills: Fill[] }>()
  for (const fill of fills) {
    const time = barTime(fill.at, intervalS)
    const key = `${time} ${fill.side}`
    const known = byBar.get(key)
    if (known) known.fills.push(fill)
    else byBar.set(key, { mark: { time, kind: fill.side, words: '' }, fills: [fill] })
  }
  const marks = [...byBar.values()].map(({ mark, fills: same }) => ({
    ...mark,
    words: same.length === 1 ? `${mark.kind === 'buy' ? 'B' : 'S'} ${decimal(same[0]!.qty)}` : `${mark.kind === 'buy' ? 'B' : 'S'} ×${same.length}`,
  }))
  const judged = new Set(vetoes.map(({ at }) => barTime(at, intervalS) - intervalS))
  const stops = [...judged].map((time): Mark => ({ time: time as UTCTimestamp, kind: 'veto', words: '' }))
  return [...marks, ...stops].toSorted((a, b) => a.time - b.time)
}

/** Marks on bars that are drawn; the chart would put the others on its first or last bar. What is too new for one stands in the table. */
export function among(bars: readonly Bar[], marks: readonly Mark[]): Mark[] {
  const [first, last] = [bars[0]?.time ?? Infinity, bars[bars.length - 1]?.time ?? -Infinity]
  return marks.filter(({ time }) => time >= first && time <= last)
}

export function thresholdsOf(model: ModelDetail | null): Threshold[] {
  if (model === null) return []
  const { long_above: long, short_below: short, exit_at: exit } = model.policy
  const lines: { text: string; words: string; kind: Threshold['kind'] }[] = [
    { text: long, words: 'long above', kind: 'long' },
    { text: short, words: 'short below', kind: 'short' },
    { text: exit, words: 'leave at', kind: 'exit' },
  ]
  return lines.flatMap(({ text, words, kind }) => {
    const price = plotted(text)
    return price === null ? [] : [{ price, words, kind }]
  })
}
