// A list that is read when its page opens, and again after each change.

import { Problem } from '../api/client.ts'
import { acting } from './proof.svelte.ts'

export class Listing<T> {
  items = $state.raw<T[]>([])
  loaded = $state(false)
  problem = $state.raw<Problem | null>(null)
  readonly #read: () => Promise<T[]>

  constructor(read: () => Promise<T[]>) {
    this.#read = read
  }

  start(): void {
    void this.load()
  }

  async load(): Promise<void> {
    try {
      this.items = await acting(this.#read)
      this.loaded = true
      this.problem = null
    } catch (thrown) {
      this.problem = Problem.from(thrown)
    }
  }
}
