// A document that is asked for again and again, with how old it is: what fails leaves the last one standing, and its age counts on.

import { Problem } from '../api/client.ts'
import { ticking } from '../ui/ticking.svelte.ts'

export class Polled<T> {
  value = $state.raw<T | null>(null)
  problem = $state.raw<Problem | null>(null)
  /** Wall time in milliseconds at which `value` came. */
  at = $state<number | null>(null)
  readonly #read: (signal: AbortSignal) => Promise<T>
  #users = 0
  #stop: (() => void) | null = null
  #again: (() => Promise<void>) | null = null

  constructor(read: (signal: AbortSignal) => Promise<T>) {
    this.#read = read
  }

  /** Seconds since the value came; null before the first. */
  get age(): number | null {
    return this.at === null ? null : Math.max(0, (ticking.now - this.at) / 1000)
  }

  /** Ask now and then every so often, never two at once; several users share one. Gives how to stop. */
  start(everyMs: number): () => void {
    this.#users += 1
    if (this.#users === 1) this.#begin(everyMs)
    let stopped = false
    return () => {
      if (stopped) return
      stopped = true
      this.#users -= 1
      if (this.#users === 0) {
        this.#stop?.()
        this.#stop = this.#again = null
      }
    }
  }

  /** Ask now, besides. */
  async load(): Promise<void> {
    await this.#again?.()
  }

  #begin(everyMs: number): void {
    const abort = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    let under: Promise<void> | null = null
    const once = async (): Promise<void> => {
      try {
        const found = await this.#read(abort.signal)
        if (abort.signal.aborted) return
        this.value = found
        this.at = Date.now()
        this.problem = null
      } catch (thrown) {
        if (!abort.signal.aborted) this.problem = Problem.from(thrown)
      }
    }
    const turn = (): Promise<void> => {
      clearTimeout(timer)
      under ??= once().finally(() => {
        under = null
        if (!abort.signal.aborted) timer = setTimeout(() => void turn(), document.hidden ? 4 * everyMs : everyMs)
      })
      return under
    }
    this.#again = turn
    this.#stop = () => {
      abort.abort()
      clearTimeout(timer)
    }
    void turn()
  }
}
