import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const answers = vi.hoisted(() => ({ session: {} as Record<string, unknown> }))
vi.stubGlobal('fetch', () => Promise.resolve(new Response(JSON.stringify(answers.session))))

import { Problem } from '../api/client.ts'
import { acting, actingProven, proof } from './proof.svelte.ts'
import { session } from './session.svelte.ts'

const PERSON = { person_id: 'p1', name: 'ada', display_name: 'Ada', roles: ['admin'] }
const refusal = (code: string): Problem => new Problem(403, code, 'refused', 'mend it')

function signedIn(age: number | null): void {
  answers.session = { signed_in: true, person: PERSON, roles: ['admin'], csrf: 'c', step_up_age_s: age, accounts_exist: true, passkeys_possible: true }
}

/** Answers the next dialog as a person would, once it is open. */
async function answer(given: boolean): Promise<string | null> {
  await vi.waitFor(() => expect(proof.wanted).not.toBeNull())
  const { wanted } = proof
  proof.settle(given)
  return wanted
}

describe('acts that need to know again who asks', () => {
  beforeEach(async () => {
    signedIn(10)
    await session.check()
  })
  afterEach(() => proof.settle(false))

  it('are done at once when nobody objects', async () => {
    const act = vi.fn(async () => 'done')
    expect(await acting(act)).toBe('done')
    expect(act).toHaveBeenCalledOnce()
    expect(proof.wanted).toBeNull()
  })

  it('go on after the proof was given', async () => {
    const act = vi.fn().mockRejectedValueOnce(refusal('STEP_UP_REQUIRED')).mockResolvedValueOnce('done')
    const [found, asked] = await Promise.all([acting(act), answer(true)])
    expect([found, asked, act.mock.calls.length]).toEqual(['done', 'step-up', 2])
  })

  it('send nothing more when the proof is not given', async () => {
    const act = vi.fn().mockRejectedValue(refusal('STEP_UP_REQUIRED'))
    const [found] = await Promise.all([acting(act).catch((thrown: Problem) => thrown.code), answer(false)])
    expect([found, act.mock.calls.length]).toEqual(['CANCELLED', 1])
  })

  it('wait for a new session where the old one has ended', async () => {
    const act = vi.fn().mockRejectedValueOnce(refusal('NOT_SIGNED_IN')).mockResolvedValueOnce('done')
    answers.session = { signed_in: false, person: null, roles: [], csrf: null, step_up_age_s: null, accounts_exist: true, passkeys_possible: true }
    const [found, asked] = await Promise.all([acting(act), answer(true)])
    expect([found, asked]).toEqual(['done', 'sign-in'])
  })

  it('ask for a new token of the page where another tab has signed in anew', async () => {
    const act = vi.fn().mockRejectedValueOnce(refusal('CSRF_REFUSED')).mockResolvedValueOnce('done')
    expect(await acting(act)).toBe('done')
    expect(proof.wanted).toBeNull()
  })

  it('hand on every other refusal, and never ask for ever', async () => {
    expect(await acting(() => Promise.reject(refusal('FORBIDDEN'))).catch((thrown: Problem) => thrown.code)).toBe('FORBIDDEN')
    const act = vi.fn().mockRejectedValue(refusal('CSRF_REFUSED'))
    expect(await acting(act).catch((thrown: Problem) => thrown.code)).toBe('CSRF_REFUSED')
    expect(act.mock.calls.length).toBe(3)
  })

  it('ask before, not after, when the proof is known to be old', async () => {
    const act = vi.fn(async () => 'done')
    expect(session.proven).toBe(true)
    expect(await actingProven(act)).toBe('done')
    signedIn(299)
    await session.check()
    expect(session.proven).toBe(false)
    const [, asked] = await Promise.all([actingProven(act), answer(true)])
    expect(asked).toBe('step-up')
    expect(await Promise.all([actingProven(act).catch((thrown: Problem) => thrown.code), answer(false)])).toEqual(['CANCELLED', 'step-up'])
    expect(act.mock.calls.length).toBe(2)
  })
})

describe('the session', () => {
  it('may read before the first account exists, and remembers who was there', async () => {
    answers.session = { signed_in: false, person: null, roles: [], csrf: null, step_up_age_s: null, accounts_exist: false, passkeys_possible: true }
    await session.check()
    expect([session.mayRead, session.signedIn, session.proven]).toEqual([true, false, false])
    signedIn(null)
    await session.check()
    expect([session.mayRead, session.has('trader', 'admin'), session.before]).toEqual([true, true, 'p1'])
    expect(session.has('risk')).toBe(false)
  })
})
