// Who is signed in, as the server says.

import { get, Problem, remember, send, whenUnknown } from '../api/client.ts'
import type { Role, Session } from './types.ts'

const STEP_UP_S = 300
/** Proofs that end while a request is under way are asked for again beforehand. */
const MARGIN_S = 15

class SessionNow {
  known = $state.raw<Session | null>(null)
  problem = $state.raw<Problem | null>(null)
  /** Who was signed in on this page before the session ended; nobody else may see what they left. */
  before = $state<string | null>(null)
  #readAt = 0
  #checking: Promise<void> | null = null

  readonly person = $derived(this.known?.person ?? null)
  readonly signedIn = $derived(this.known?.signed_in ?? false)
  /** Before the first account exists, reading needs none. */
  readonly mayRead = $derived(this.known !== null && (this.known.signed_in || !this.known.accounts_exist))

  /** Ask the server; calls at the same time are one. */
  check(): Promise<void> {
    this.#checking ??= this.#ask().finally(() => (this.#checking = null))
    return this.#checking
  }

  async #ask(): Promise<void> {
    try {
      const found = await get<Session>('/session')
      this.#readAt = Date.now()
      remember(found.csrf)
      this.known = found
      this.problem = null
      if (found.person !== null) this.before = found.person.person_id
    } catch (thrown) {
      this.problem = Problem.from(thrown)
    }
  }

  has(...roles: Role[]): boolean {
    return roles.some((role) => this.known?.roles.includes(role))
  }

  /** Whether the last proof of identity is still young enough for a dangerous act. */
  get proven(): boolean {
    const age = this.known?.step_up_age_s
    return age != null && age + (Date.now() - this.#readAt) / 1000 < STEP_UP_S - MARGIN_S
  }

  /** Sign out, and leave nothing of what was read in this page. */
  async signOut(): Promise<void> {
    await send('DELETE', '/session')
    location.assign('/sign-in')
  }
}

export const session = new SessionNow()
whenUnknown(() => void session.check())
