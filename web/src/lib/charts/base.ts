// Charts in the page's colours. The library's own attribution logo needs an inline style sheet, which the content security policy
// forbids, so every chart carries our link instead (Attribution.svelte).

import {
  ColorType,
  createChart,
  CrosshairMode,
  LineStyle,
  type ChartOptions,
  type DeepPartial,
  type IChartApi,
  type UTCTimestamp,
} from 'lightweight-charts'
import { decimal } from '../format/decimal.ts'
import { colour } from '../ui/settings.svelte.ts'

export { LineStyle }

export function options(): DeepPartial<ChartOptions> {
  const line = colour('line')
  return {
    autoSize: true,
    layout: {
      background: { type: ColorType.Solid, color: 'transparent' },
      textColor: colour('muted'),
      fontFamily: colour('font'),
      fontSize: 11,
      attributionLogo: false,
      panes: { separatorColor: line, separatorHoverColor: colour('raised'), enableResize: true },
    },
    grid: { vertLines: { color: colour('grid') }, horzLines: { color: colour('grid') } },
    crosshair: {
      mode: CrosshairMode.Normal,
      vertLine: { color: colour('line-strong'), labelBackgroundColor: colour('line-strong') },
      horzLine: { color: colour('line-strong'), labelBackgroundColor: colour('line-strong') },
    },
    rightPriceScale: { borderColor: line },
    timeScale: { borderColor: line, timeVisible: true, secondsVisible: false, rightOffset: 4, minBarSpacing: 0.4 },
    localization: { locale: 'en-GB' },
  }
}

/** A number of the axis; digits that fit its size. Only axes come this way, figures are decimal text. */
export function axisPrice(value: number): string {
  const size = Math.abs(value)
  return decimal(value.toFixed(size >= 1000 ? 1 : size >= 10 ? 2 : size >= 0.1 ? 4 : 6))
}

export function chartIn(element: HTMLElement, more: DeepPartial<ChartOptions> = {}): IChartApi {
  const chart = createChart(element, options())
  chart.applyOptions(more)
  return chart
}

/** Whole seconds of an RFC 3339 time, as the library counts. */
export function stamp(text: string): UTCTimestamp {
  return Math.floor(Date.parse(text) / 1000) as UTCTimestamp
}
