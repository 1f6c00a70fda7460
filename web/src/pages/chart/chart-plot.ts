// Candles with volume and fills; below them the model's probability with the thresholds it trades on, and what was vetoed.

import {
  CandlestickSeries,
  createSeriesMarkers,
  HistogramSeries,
  LineSeries,
  type IChartApi,
  type IPriceLine,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  type SeriesMarker,
  type SeriesType,
  type Time,
  type UTCTimestamp,
} from 'lightweight-charts'
import { axisPrice, chartIn, LineStyle, options } from '../../lib/charts/base.ts'
import { colour } from '../../lib/ui/settings.svelte.ts'
import type { Bar, Mark, Threshold } from './marks.ts'

/** So many bars back is looked for late news. */
const LATE_BARS = 300
/** With fewer bars left of the view the past is asked for. */
const PAST_BARS = 30

type Room = 'none' | 'letter' | 'whole'

export class ChartPlot {
  readonly #chart: IChartApi
  readonly #candles: ISeriesApi<'Candlestick'>
  readonly #volume: ISeriesApi<'Histogram'>
  readonly #probability: ISeriesApi<'Line'>
  readonly #fills: ISeriesMarkersPluginApi<Time>
  readonly #vetoes: ISeriesMarkersPluginApi<Time>
  readonly #watcher: MutationObserver
  #lines: IPriceLine[] = []
  #first: UTCTimestamp | null = null
  #length = 0
  #room: Room = 'letter'
  #last: { bars: Bar[]; marks: Mark[]; thresholds: Threshold[] } = { bars: [], marks: [], thresholds: [] }

  constructor(element: HTMLElement, on: { hover: (time: number | null) => void; click: (time: number) => void; past: () => void }) {
    this.#chart = chartIn(element)
    this.#candles = this.#chart.addSeries(CandlestickSeries, { priceFormat: { type: 'custom', minMove: 1e-8, formatter: axisPrice } })
    this.#volume = this.#chart.addSeries(HistogramSeries, { priceScaleId: 'volume', priceLineVisible: false, lastValueVisible: false })
    this.#chart.priceScale('volume').applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } })
    this.#candles.priceScale().applyOptions({ scaleMargins: { top: 0.12, bottom: 0.2 } })
    this.#probability = this.#chart.addSeries(
      LineSeries,
      { lineWidth: 2, priceLineVisible: false, priceFormat: { type: 'price', precision: 3, minMove: 0.001 } },
      1,
    )
    this.#chart.panes()[0]?.setStretchFactor(3)
    this.#chart.panes()[1]?.setStretchFactor(1)
    this.#fills = createSeriesMarkers(this.#candles, [])
    this.#vetoes = createSeriesMarkers(this.#probability, [])
    this.#paint()
    this.#chart.subscribeCrosshairMove(({ time }) => on.hover(time === undefined ? null : Number(time)))
    this.#chart.subscribeClick(({ time }) => time !== undefined && on.click(Number(time)))
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range !== null && range.from < PAST_BARS) on.past()
      this.#reword()
    })
    this.#watcher = new MutationObserver(() => this.#paint())
    this.#watcher.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme', 'data-palette'] })
  }

  /** Draw bars (oldest first) and marks; what has not changed is left as it is. */
  draw(bars: Bar[], marks: Mark[], thresholds: Threshold[]): void {
    const same = bars[0]?.time === this.#first && bars.length >= this.#length && this.#length > 0
    const from = same ? this.#changedFrom(bars) : 0
    const fresh = bars.slice(from)
    const old = same ? Math.max(0, this.#length - 1 - from) : null
    put(this.#candles, fresh.map(({ time, open, high, low, close }) => ({ time, open, high, low, close })), old)
    const [up, down] = [colour('gain-wash'), colour('loss-wash')]
    put(this.#volume, fresh.map(({ time, volume, open, close }) => ({ time, value: volume, color: close >= open ? up : down })), old)
    put(this.#probability, fresh.map(({ time, probability }) => (probability === null ? { time } : { time, value: probability })), old)
    this.#first = bars[0]?.time ?? null
    this.#length = bars.length
    if (thresholds !== this.#last.thresholds) this.#thresholds(thresholds)
    if (marks !== this.#last.marks) this.#mark(marks)
    this.#last = { bars, marks, thresholds }
  }

  /** Show the newest bars again. */
  newest(): void {
    this.#chart.timeScale().scrollToRealTime()
  }

  /** Begin with another instrument: the newest 120 bars. */
  reset(): void {
    this.#first = null
    this.#length = 0
    this.#chart.priceScale('right').applyOptions({ autoScale: true })
    this.#chart.timeScale().applyOptions({ barSpacing: 9 })
    this.newest()
  }

  remove(): void {
    this.#watcher.disconnect()
    this.#chart.remove()
  }

  /** The first bar that is not as it was drawn; predictions may come after their bars. */
  #changedFrom(bars: Bar[]): number {
    const before = this.#last.bars
    let from = this.#length
    for (let place = this.#length - 1; place >= Math.max(0, this.#length - LATE_BARS); place -= 1) {
      if (bars[place]?.candle !== before[place]?.candle || bars[place]?.probability !== before[place]?.probability) from = place
    }
    return from
  }

  /** Fewer words on the marks the closer the bars stand. */
  #reword(): void {
    const spacing = this.#chart.timeScale().options().barSpacing
    const room = spacing > 26 ? 'whole' : spacing > 6 ? 'letter' : 'none'
    if (room === this.#room) return
    this.#room = room
    this.#mark(this.#last.marks)
  }

  #mark(marks: Mark[]): void {
    const [gain, loss, warn] = [colour('gain'), colour('loss'), colour('warn')]
    const fills: SeriesMarker<Time>[] = []
    const vetoes: SeriesMarker<Time>[] = []
    for (const { time, kind, words } of marks) {
      if (kind === 'veto') vetoes.push({ time, position: 'aboveBar', shape: 'square', size: 0.6, color: warn })
      else {
        const buy = kind === 'buy'
        const text = this.#room === 'whole' ? words : this.#room === 'letter' ? words.slice(0, 1) : ''
        fills.push({ time, position: buy ? 'belowBar' : 'aboveBar', shape: buy ? 'arrowUp' : 'arrowDown', color: buy ? gain : loss, text })
      }
    }
    this.#fills.setMarkers(fills)
    this.#vetoes.setMarkers(vetoes)
  }

  #thresholds(thresholds: Threshold[]): void {
    for (const line of this.#lines) this.#probability.removePriceLine(line)
    this.#lines = thresholds.map(({ price, words, kind }) =>
      this.#probability.createPriceLine({
        price,
        title: words,
        color: colour(kind === 'long' ? 'gain' : kind === 'short' ? 'loss' : 'muted'),
        lineStyle: kind === 'exit' ? LineStyle.SparseDotted : LineStyle.Dashed,
        lineWidth: 1,
        axisLabelVisible: false,
      }),
    )
  }

  #paint(): void {
    this.#chart.applyOptions(options())
    const [gain, loss] = [colour('gain'), colour('loss')]
    this.#candles.applyOptions({
      upColor: 'transparent', // hollow when it rose, filled when it fell: readable without colours
      borderUpColor: gain,
      wickUpColor: gain,
      downColor: loss,
      borderDownColor: loss,
      wickDownColor: loss,
      priceLineColor: colour('muted'),
    })
    this.#probability.applyOptions({ color: colour('model') })
    const { bars, marks, thresholds } = this.#last
    if (bars.length === 0) return
    this.#first = null
    this.#last = { bars: [], marks: [], thresholds: [] }
    this.draw(bars, marks, thresholds)
  }
}

/** Set all rows, or update them when `old` says how many of the first ones lie before the newest that is drawn. */
function put<T extends SeriesType>(series: ISeriesApi<T>, rows: Parameters<ISeriesApi<T>['update']>[0][], old: number | null): void {
  if (old === null) series.setData(rows)
  else rows.forEach((row, place) => series.update(row, place < old))
}
