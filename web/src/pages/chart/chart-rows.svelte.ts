// The rows behind one instrument's chart: the newest from the live stream, the past page by page, marks as far back as bars.

import type { Candle, Decision, Fill, Prediction } from '../../lib/api/types.ts'
import { History } from '../../lib/live/history.svelte.ts'
import { identities } from '../../lib/live/live.svelte.ts'

/** Bars that a chart holds, and marks of each kind: more than a screen has pixels, and few enough to be drawn four times a second. */
const MOST = 5_000

export class ChartRows {
  readonly candles = new History<Candle>('/candles', identities.candles, MOST)
  readonly predictions = new History<Prediction>('/predictions', identities.predictions, MOST)
  readonly fills = new History<Fill>('/fills', identities.fills, MOST)
  readonly vetoes = new History<Decision>('/decisions', identities.decisions, MOST)
  #run = ''
  #instrument = ''
  #anew = 0

  /** Begin with an instrument of a run; `anew` counts how often the stream left something out, which is read again. */
  async open(run: string, instrument: string, anew: number): Promise<void> {
    if (run === this.#run && instrument === this.#instrument && anew === this.#anew) return
    this.#run = run
    this.#instrument = instrument
    this.#anew = anew
    await Promise.all([
      this.candles.reset({ instrument }),
      this.predictions.reset({ instrument }),
      this.fills.reset({ instrument }),
      this.vetoes.reset({ instrument, vetoed: 'true' }),
    ])
    await this.#marksAsFarBackAsBars()
  }

  /** Take what the stream brought, whatever of it belongs here. */
  news(candles: readonly Candle[], predictions: readonly Prediction[], fills: readonly Fill[], decisions: readonly Decision[]): void {
    const ours = (row: { instrument: string | null }): boolean => row.instrument === this.#instrument
    this.candles.add(candles.filter(ours))
    this.predictions.add(predictions.filter(ours))
    this.fills.add(fills.filter(ours))
    this.vetoes.add(decisions.filter((row) => row.vetoed && ours(row)))
  }

  /** One page of bars further back, and all marks that belong to them. */
  async older(): Promise<void> {
    if (this.candles.loading || this.candles.whole) return
    await this.candles.older()
    await this.#marksAsFarBackAsBars()
  }

  async #marksAsFarBackAsBars(): Promise<void> {
    const oldest = this.candles.rows.at(-1)?.open_at
    if (oldest === undefined) return
    await Promise.all([reach(this.predictions, oldest), reach(this.fills, oldest), reach(this.vetoes, oldest)])
  }

  async olderMarks(): Promise<void> {
    await Promise.all([this.fills.older(), this.vetoes.older()])
  }
}

/** Read pages until the rows go back to a time. */
async function reach(history: History<Prediction> | History<Fill> | History<Decision>, oldest: string): Promise<void> {
  while (!history.whole && !history.full && history.problem === null && !history.loading && (history.rows.at(-1)?.at ?? '9') > oldest) await history.older()
}
