/** The symbol of `bybit-linear:BTCUSDT`, which is enough to read; the whole id stands in tooltips. */
export function symbol(instrument: string | null | undefined): string {
  return instrument ? instrument.slice(instrument.indexOf(':') + 1) : ''
}
