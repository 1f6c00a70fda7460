import { describe, expect, it } from 'vitest'
import type { Candle, Decision, Fill, ModelDetail, Prediction } from '../../lib/api/types.ts'
import { among, barsOf, barTime, marksOf, thresholdsOf } from './marks.ts'

const candle = (hour: number, close = '10.5'): Candle =>
  ({ seq: hour, open_at: `2026-07-01T0${hour}:00:00Z`, close_at: `2026-07-01T0${hour + 1}:00:00Z`, open: '10', high: '11', low: '9', close, volume: '3' }) as Candle
const fill = (at: string, side: 'buy' | 'sell', qty = '0.1'): Fill => ({ at, side, qty }) as Fill

describe('what a chart draws', () => {
  it('goes from the oldest bar to the newest, with the word said at each close', () => {
    const said = { at: '2026-07-01T02:00:00Z', probability: '0.61000000' } as Prediction
    const bars = barsOf([candle(2), candle(1)], [said], 3600)
    expect(bars.map(({ probability }) => probability)).toEqual([0.61, null])
    expect(bars.map(({ candle: row }) => row.seq)).toEqual([1, 2])
  })

  it('knows the bar of a prediction that came a moment after its close', () => {
    const late = { at: '2026-07-01T02:00:00.350Z', probability: '0.4' } as Prediction
    expect(barsOf([candle(2), candle(1)], [late], 3600).map(({ probability }) => probability)).toEqual([0.4, null])
  })

  it('draws no mark on a bar to which it does not belong', () => {
    const bars = barsOf([candle(3), candle(2)], [], 3600)
    const marks = marksOf(['01:59:59', '02:00:00', '03:59:59', '04:00:00'].map((at) => fill(`2026-07-01T${at}Z`, 'buy')), [], 3600)
    expect(marks.length).toBe(4)
    expect(among(bars, marks).map(({ time }) => time)).toEqual(bars.map(({ time }) => time))
    expect(among([], marks)).toEqual([])
  })

  it('leaves out a bar that has no price rather than drawing it at zero', () => {
    expect(barsOf([candle(2, ''), candle(1)], [], 3600).length).toBe(1)
  })

  it('puts fills on the bar in which they happened, several of a side as one', () => {
    const marks = marksOf([fill('2026-07-01T01:10:00Z', 'buy'), fill('2026-07-01T01:59:59Z', 'buy'), fill('2026-07-01T01:20:00Z', 'sell')], [], 3600)
    expect(marks.map(({ kind, words }) => `${kind} ${words}`)).toEqual(['buy B ×2', 'sell S 0.1'])
    expect(new Set(marks.map(({ time }) => time))).toEqual(new Set([barTime('2026-07-01T01:00:00Z', 3600)]))
  })

  it('puts a veto on the bar whose close was judged', () => {
    const [mark] = marksOf([], [{ at: '2026-07-01T02:00:00Z' } as Decision], 3600)
    expect(mark?.time).toBe(Date.parse('2026-07-01T01:00:00Z') / 1000)
  })

  it('draws the thresholds of the model, and none without one', () => {
    const model = { policy: { long_above: '0.57', short_below: '0.43', exit_at: '0.5' } } as ModelDetail
    expect(thresholdsOf(model).map(({ price, kind }) => [price, kind])).toEqual([[0.57, 'long'], [0.43, 'short'], [0.5, 'exit']])
    expect(thresholdsOf(null)).toEqual([])
  })
})
