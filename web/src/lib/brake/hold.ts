// Press and hold, or Enter twice: what keeps a brake from being pulled by a slip, without asking a question.

export const HOLD_MS = 1_500
export const ARMED_MS = 5_000
export const STEP_MS = 50

export interface Clock {
  now: () => number
  every: (call: () => void, ms: number) => unknown
  stop: (timer: unknown) => void
}

/** Tells how far a press has come (0 to 1), whether a first Enter has armed it, and fires once. */
export class Hold {
  readonly #clock: Clock
  readonly #changed: (part: number, armed: boolean) => void
  readonly #fire: () => void
  #timer: unknown = null
  #armed = false

  constructor(clock: Clock, changed: (part: number, armed: boolean) => void, fire: () => void) {
    this.#clock = clock
    this.#changed = changed
    this.#fire = fire
  }

  press(): void {
    if (this.#timer !== null && !this.#armed) return
    this.release()
    const began = this.#clock.now()
    this.#timer = this.#clock.every(() => {
      const part = Math.min(1, (this.#clock.now() - began) / HOLD_MS)
      if (part < 1) this.#changed(part, false)
      else this.#done()
    }, STEP_MS)
  }

  /** The first arms for five seconds, the second fires. */
  enter(): void {
    if (this.#armed) {
      this.#done()
      return
    }
    this.release()
    this.#armed = true
    this.#changed(0, true)
    const began = this.#clock.now()
    this.#timer = this.#clock.every(() => {
      if (this.#clock.now() - began >= ARMED_MS) this.release()
    }, STEP_MS)
  }

  /** Let go before the time, or leave: nothing happens. */
  release(): void {
    if (this.#timer !== null) this.#clock.stop(this.#timer)
    this.#timer = null
    this.#armed = false
    this.#changed(0, false)
  }

  /** A pointer that is let go ends a press, and leaves what Enter has armed. */
  letGo(): void {
    if (!this.#armed) this.release()
  }

  #done(): void {
    this.release()
    this.#fire()
  }
}
