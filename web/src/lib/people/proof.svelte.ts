// Acts that need a newer proof of identity, or a session that has ended meanwhile: the proof is asked for, then the act goes on.
// What somebody has typed stays where it is.

import { Problem } from '../api/client.ts'
import { session } from './session.svelte.ts'

export type Wanted = 'step-up' | 'sign-in'

class Proof {
  wanted = $state<Wanted | null>(null)
  #waiting: ((given: boolean) => void)[] = []

  /** Open the dialog; true when the proof was given, false when it was closed. */
  ask(wanted: Wanted): Promise<boolean> {
    this.wanted = wanted
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  settle(given: boolean): void {
    this.wanted = null
    for (const resolve of this.#waiting.splice(0)) resolve(given)
  }
}

export const proof = new Proof()

const TURNS = 3

/** Do an act; where the server wants to know again who asks, ask and repeat it. Throws a Problem. */
export async function acting<T>(act: () => Promise<T>): Promise<T> {
  for (let turn = 1; ; turn += 1) {
    try {
      return await act()
    } catch (thrown) {
      const problem = Problem.from(thrown)
      if (turn === TURNS || !(await remedied(problem))) throw problem
    }
  }
}

/** The same for what is known to be dangerous: the proof is asked for before, not after a refusal. */
export async function actingProven<T>(act: () => Promise<T>): Promise<T> {
  if (session.signedIn && !session.proven && !(await proof.ask('step-up'))) throw cancelled()
  return acting(act)
}

async function remedied(problem: Problem): Promise<boolean> {
  if (problem.code === 'STEP_UP_REQUIRED') return await answered('step-up')
  if (problem.code === 'NOT_SIGNED_IN') {
    await session.check()
    return session.known?.accounts_exist === true && (await answered('sign-in'))
  }
  if (problem.code !== 'CSRF_REFUSED') return false
  await session.check() // another tab has signed in anew
  return session.signedIn
}

async function answered(wanted: Wanted): Promise<boolean> {
  if (await proof.ask(wanted)) return true
  throw cancelled()
}

function cancelled(): Problem {
  return new Problem(0, 'CANCELLED', 'nothing was sent: you did not confirm who you are', 'repeat it when you are ready')
}
