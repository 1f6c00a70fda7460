// Where the brake stands, asked for every two seconds wherever one is on these pages, and more often while it is looked at.

import { get } from '../api/client.ts'
import type { BrakeStatus } from '../api/types.ts'
import { Polled } from '../live/polled.svelte.ts'
import { ageOf, headline, standingOf } from './levels.ts'

export const EVERY_MS = 2_000

class BrakeNow extends Polled<BrakeStatus> {
  constructor() {
    super((signal) => get<BrakeStatus>('/brake', {}, signal))
  }

  get standing(): ReturnType<typeof standingOf> {
    return standingOf(this.value, this.age)
  }

  /** Age of the guard's own word, in seconds. */
  get guardAge(): number | null {
    return ageOf(this.value, this.age)
  }

  get headline(): string {
    return headline(this.value, this.standing)
  }
}

export const brake = new BrakeNow()
