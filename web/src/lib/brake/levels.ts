// The brake's levels in words, mildest first, and what is made of how old the guard's word is.

import type { BrakeLevel, BrakeStatus, EngageLevel } from '../api/types.ts'

export interface LevelWords {
  id: BrakeLevel
  name: string
  does: string
}

export const LEVELS: readonly LevelWords[] = [
  { id: 'running', name: 'Running', does: 'New risk is permitted; warnings only alert.' },
  { id: 'reduce_only', name: 'Reduce only', does: 'Only orders that make a position smaller pass.' },
  { id: 'halted', name: 'Halted', does: 'The trader sends nothing. Open orders are withdrawn, the stops of positions stay.' },
  { id: 'flattening', name: 'Flattening', does: 'The guard closes every position in slices, never beyond the collar.' },
  { id: 'halted_flat', name: 'Halted, flat', does: 'No position and no order of any kind; nothing is sent.' },
]

export const ENGAGEABLE: readonly { id: EngageLevel; name: string; does: string }[] = [
  { id: 'reduce_only', name: 'Reduce only', does: 'Only orders that make a position smaller pass. Nothing is withdrawn.' },
  { id: 'halted', name: 'Halt', does: 'Nothing is sent any more; open orders are withdrawn, positions keep their stops.' },
  { id: 'flattening', name: 'Flatten', does: 'Halt, then close every position in slices within the collar. That costs fees and slippage.' },
]

/** Seconds after which the guard's word is late, and stale: it speaks every second. */
export const LATE_S = 3
export const STALE_S = 6

export type Standing = 'fresh' | 'late' | 'stale' | 'absent'

export const severity = (level: BrakeLevel): number => LEVELS.findIndex(({ id }) => id === level)

export const nameOf = (level: BrakeLevel | null): string => LEVELS.find(({ id }) => id === level)?.name ?? 'Unknown'

/** A trigger as people write it. */
export const triggerName = (name: string): string => (name === 'var99' ? 'VaR 99 %' : name.replaceAll('_', ' '))

/** How old the guard's word is by now: as old as the server said, and as long as the server has said nothing since. */
export function ageOf(status: BrakeStatus | null, sinceS: number | null): number | null {
  return status?.guard.age_s == null || sinceS === null ? null : status.guard.age_s + sinceS
}

export function standingOf(status: BrakeStatus | null, sinceS: number | null): Standing {
  if (status === null || status.guard.state === 'absent') return 'absent'
  const age = ageOf(status, sinceS)
  if (age === null || age > STALE_S || status.guard.state === 'stale') return 'stale'
  return age > LATE_S || status.guard.state === 'late' ? 'late' : 'fresh'
}

/** What the header says: one word, and never that all is well on old news. */
export function headline(status: BrakeStatus | null, standing: Standing): string {
  if (status === null) return 'brake'
  if (standing === 'absent') return 'no guard'
  if (standing === 'stale') return status.level === null || status.level === 'running' ? 'guard silent' : `${nameOf(status.level)}, stale`.toLowerCase()
  return status.level === 'running' ? 'brake off' : nameOf(status.level).toLowerCase()
}

/** Levels that engaging would change something at: severity only rises. */
export const worthEngaging = (level: EngageLevel, now: BrakeLevel | null): boolean => now === null || severity(level) > severity(now)
