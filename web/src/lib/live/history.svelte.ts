// A list that reaches back as far as one scrolls: older pages from the API, news from the live stream, each row once.

import { get, Problem } from '../api/client.ts'
import type { Page } from '../api/types.ts'
import { merged, MOST_ROWS, type Identity, type Row } from './rows.ts'

const PAGE = 500

export type Filters = Record<string, string>

export class History<T extends Row> {
  rows = $state.raw<T[]>([])
  loading = $state(false)
  problem = $state<Problem | null>(null)
  /** Every row that there is has been read. */
  whole = $state(false)
  readonly #path: string
  readonly #identity: Identity<T>
  readonly #most: number
  #cursor: string | null = null
  #filters: Filters = {}
  #stop = new AbortController()

  constructor(path: string, identity: Identity<T>, most = MOST_ROWS) {
    this.#most = most
    this.#path = path
    this.#identity = identity
  }

  /** As many rows are kept as may be; older ones are not read. */
  get full(): boolean {
    return this.rows.length >= this.#most
  }

  /** Begin anew with these filters; settles when the newest page is here. */
  reset(filters: Filters): Promise<void> {
    this.#stop.abort()
    this.#stop = new AbortController()
    this.#filters = filters
    this.#cursor = null
    this.rows = []
    this.whole = false
    this.loading = false
    this.problem = null
    return this.older()
  }

  /** Take news; those that the filters leave out are the caller's to leave out. */
  add(rows: readonly T[]): void {
    this.rows = merged(this.rows, rows, this.#identity, this.#most)
    if (this.full) this.whole = false
  }

  /** Read one page further into the past. */
  async older(): Promise<void> {
    if (this.loading || this.whole || this.full || this.problem !== null) return
    const { signal } = this.#stop
    this.loading = true
    try {
      const page = await get<Page<T>>(this.#path, { ...this.#filters, limit: PAGE, cursor: this.#cursor }, signal)
      if (signal.aborted) return
      this.add(page.items)
      this.#cursor = page.next_cursor
      this.whole = page.next_cursor === null && !this.full
    } catch (thrown) {
      if (!signal.aborted) this.problem = Problem.from(thrown)
    } finally {
      if (!signal.aborted) this.loading = false
    }
  }

  retry(): void {
    this.problem = null
    void this.older()
  }
}
