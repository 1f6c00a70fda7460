// One intent, one key: a repeat after a lost answer is the same act, another wish is another.

export class Intent {
  #key = ''
  #wish = ''
  readonly #fresh: () => string

  constructor(fresh: () => string = () => crypto.randomUUID()) {
    this.#fresh = fresh
  }

  /** The key of this wish; the same as long as the wish is the same and has not been done. */
  key(wish: unknown): string {
    const text = JSON.stringify(wish)
    if (this.#key === '' || text !== this.#wish) {
      this.#key = this.#fresh()
      this.#wish = text
    }
    return this.#key
  }

  /** It was done, or refused for good: the same words again are a new wish. */
  done(): void {
    this.#key = ''
  }
}
