// Whether what is shown can be trusted now: one judgement for the banner, the dimming and every widget's age.

import { ticking } from '../ui/ticking.svelte.ts'
import { live } from './live.svelte.ts'

export type Condition = 'waiting' | 'fresh' | 'late' | 'stale' | 'lost' | 'ended'

const HEARTBEAT_LOST_S = 4

class ConditionNow {
  /** Seconds since the server last said anything. */
  readonly silence = $derived(live.at.heartbeat === undefined ? null : Math.max(0, (ticking.now - live.at.heartbeat) / 1000))

  /** Age of the newest bar in seconds of wall time, counting on while nobody speaks. */
  readonly age = $derived.by(() => {
    const known = live.freshness?.age_s
    return known == null || this.silence === null ? null : known + this.silence
  })

  readonly state: Condition = $derived.by(() => {
    if (this.silence === null || live.freshness === null) return live.overview === null ? 'waiting' : 'lost'
    if (this.silence > HEARTBEAT_LOST_S) return 'lost'
    const { state, budget_s: budget, late_after_s: late } = live.freshness
    if (state === 'unknown') return 'waiting'
    if (state !== 'fresh') return state
    if (this.age !== null && this.age > budget) return 'stale'
    return this.age !== null && this.age > late ? 'late' : 'fresh'
  })

  readonly frozen = $derived(this.state === 'stale' || this.state === 'lost')

  /** Wall time since when, RFC 3339. */
  readonly since = $derived.by(() => {
    if (this.state === 'lost' && live.at.heartbeat !== undefined) return new Date(live.at.heartbeat).toISOString()
    return live.freshness?.stale_since ?? live.freshness?.bar_received_at ?? null
  })

  readonly why = $derived(this.state === 'lost' ? 'the server does not answer; this page keeps trying' : live.freshness?.why || 'no new bar arrives')
}

export const condition = new ConditionNow()
