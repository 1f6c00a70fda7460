// Roles in words, and which of them exclude each other as the server's table says.

import type { Role, RoleMatrix } from './types.ts'

export const ROLE_WORDS: Record<Role, string> = {
  viewer: 'reads; in every role',
  trader: 'runs strategies: halt, flatten, resume',
  researcher: 'builds and trains models',
  risk: 'limits, approvals, releasing the brake',
  auditor: 'reads every act; does none',
  admin: 'people and their roles',
}

/** A sentence for each pair that one person must not hold. */
export function conflictsOf(roles: readonly Role[], matrix: RoleMatrix | null): string[] {
  return (matrix?.exclusive ?? [])
    .filter(({ roles: pair }) => pair.every((role) => roles.includes(role)))
    .map(({ roles: pair, why }) => `${pair.join(' and ')} exclude each other in one person: ${why}`)
}

/** Roles that a change gives and that nobody gets by one person's word. */
export function guardedGains(before: readonly Role[], after: readonly Role[], matrix: RoleMatrix | null): Role[] {
  return (matrix?.guarded ?? []).filter((role) => after.includes(role) && !before.includes(role))
}

/** Roles as they are kept: each once, sorted, and viewer only where it stands alone, since every role implies it. */
export function rolesKept(roles: readonly Role[]): Role[] {
  const others = roles.filter((role) => role !== 'viewer')
  return others.length ? [...new Set(others)].sort() : ['viewer']
}
