// Equity as a line with its start as the waterline, and drawdown as the depth below it in a second pane.

import { AreaSeries, BaselineSeries, type IChartApi, type ISeriesApi } from 'lightweight-charts'
import type { EquitySeries } from '../../lib/api/types.ts'
import { axisPrice, chartIn, LineStyle, options, stamp } from '../../lib/charts/base.ts'
import { plotted } from '../../lib/format/decimal.ts'
import { colour } from '../../lib/ui/settings.svelte.ts'

export class EquityPlot {
  readonly #chart: IChartApi
  readonly #equity: ISeriesApi<'Baseline'>
  readonly #drawdown: ISeriesApi<'Area'>
  readonly #watcher: MutationObserver
  #span = ''

  constructor(element: HTMLElement, hovered: (index: number | null) => void) {
    this.#chart = chartIn(element, { handleScroll: false, handleScale: false, timeScale: { rightOffset: 0, fixLeftEdge: true, fixRightEdge: true } })
    this.#equity = this.#chart.addSeries(BaselineSeries, { priceLineVisible: false, lineWidth: 2, priceFormat: { type: 'custom', minMove: 0.01, formatter: axisPrice } })
    this.#drawdown = this.#chart.addSeries(
      AreaSeries,
      { priceLineVisible: false, lastValueVisible: false, lineWidth: 1, priceFormat: { type: 'custom', minMove: 0.0001, formatter: percents } },
      1,
    )
    this.#chart.panes()[1]?.setHeight(70)
    this.#paint()
    this.#chart.subscribeCrosshairMove(({ logical, point }) => hovered(point === undefined || logical == null ? null : Math.round(logical)))
    this.#watcher = new MutationObserver(() => this.#paint())
    this.#watcher.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme', 'data-palette'] })
  }

  draw(series: EquitySeries): void {
    const points = series.items.map((item) => ({ time: stamp(item.at), value: plotted(item.equity) ?? 0, depth: -(plotted(item.drawdown) ?? 0) }))
    const start = plotted(series.start_equity)
    if (start !== null) this.#equity.applyOptions({ baseValue: { type: 'price', price: start } })
    this.#equity.setData(points.map(({ time, value }) => ({ time, value })))
    this.#drawdown.setData(points.map(({ time, depth }) => ({ time, value: depth })))
    const span = `${points[0]?.time} ${series.resolution_s} ${points.length}`
    if (span !== this.#span) this.#chart.timeScale().fitContent()
    this.#span = span
  }

  remove(): void {
    this.#watcher.disconnect()
    this.#chart.remove()
  }

  #paint(): void {
    this.#chart.applyOptions(options())
    this.#chart.applyOptions({ timeScale: { rightOffset: 0 } })
    this.#equity.applyOptions({
      topLineColor: colour('gain'),
      topFillColor1: colour('gain-wash'),
      topFillColor2: colour('gain-wash'),
      bottomLineColor: colour('loss'),
      bottomFillColor1: colour('loss-wash'),
      bottomFillColor2: colour('loss-wash'),
    })
    this.#drawdown.applyOptions({
      lineColor: colour('muted'),
      topColor: colour('line'),
      bottomColor: colour('line'),
      invertFilledArea: true,
      lineStyle: LineStyle.Solid,
    })
  }
}

function percents(value: number): string {
  return `${(value * 100).toFixed(2).replace('-', '\u2212')} %`
}
