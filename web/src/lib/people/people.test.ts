import { afterEach, describe, expect, it, vi } from 'vitest'
import { Problem, remember, send, whenUnknown } from '../api/client.ts'
import { Intent } from './intent.ts'
import { conflictsOf, guardedGains, rolesKept } from './roles.ts'
import type { RoleMatrix } from './types.ts'
import { ago, dated, left } from './when.ts'

const MATRIX: RoleMatrix = {
  roles: ['viewer', 'trader', 'researcher', 'risk', 'auditor', 'admin'],
  rows: [],
  exclusive: [
    { roles: ['risk', 'trader'], why: 'who takes the risk must not judge it' },
    { roles: ['admin', 'risk'], why: 'who gives out roles must not hold the second key' },
  ],
  guarded: ['admin', 'auditor', 'risk'],
}

describe('an intent', () => {
  it('keeps its key over repeats and takes another one for another wish or after it was done', () => {
    let made = 0
    const intent = new Intent(() => `key-${++made}`)
    expect(intent.key({ command: 'halt' })).toBe('key-1')
    expect(intent.key({ command: 'halt' })).toBe('key-1')
    expect(intent.key({ command: 'resume' })).toBe('key-2')
    intent.done()
    expect(intent.key({ command: 'resume' })).toBe('key-3')
  })
})

describe('roles', () => {
  it('says every pair that one person must not hold, and why', () => {
    expect(conflictsOf(['trader', 'risk', 'admin'], MATRIX)).toEqual([
      'risk and trader exclude each other in one person: who takes the risk must not judge it',
      'admin and risk exclude each other in one person: who gives out roles must not hold the second key',
    ])
    expect(conflictsOf(['trader', 'admin'], MATRIX)).toEqual([])
    expect(conflictsOf(['trader', 'risk'], null)).toEqual([])
  })

  it('knows which gains need a second person', () => {
    expect(guardedGains(['trader', 'admin'], ['trader', 'admin', 'auditor'], MATRIX)).toEqual(['auditor'])
    expect(guardedGains(['risk'], ['trader'], MATRIX)).toEqual([])
  })

  it('keeps roles sorted, each once, and viewer only alone', () => {
    expect(rolesKept(['viewer', 'trader', 'admin', 'trader'])).toEqual(['admin', 'trader'])
    expect(rolesKept([])).toEqual(['viewer'])
  })
})

describe('times', () => {
  const now = Date.parse('2026-07-01T10:00:00Z')
  it('says how long ago, how long still, and when', () => {
    expect(ago('2026-07-01T09:48:00Z', now)).toBe('12 min ago')
    expect(ago('2026-07-01T09:59:58Z', now)).toBe('now')
    expect(ago(null, now)).toBe('–')
    expect(left('2026-07-01T10:00:30Z', now)).toBe('in 30 s')
    expect(left('2026-07-01T09:00:00Z', now)).toBe('over')
    expect(dated('2027-01-05T08:09:10Z')).toBe('05 Jan 2027 08:09 UTC')
  })
})

describe('sending', () => {
  afterEach(() => {
    vi.unstubAllGlobals()
    remember(null)
    whenUnknown(() => {})
  })

  function answering(status: number, body: unknown, headers: Record<string, string> = {}): { asked: [string, RequestInit][] } {
    const asked: [string, RequestInit][] = []
    vi.stubGlobal('fetch', (address: string, wanted: RequestInit) => {
      asked.push([address, wanted])
      return Promise.resolve(new Response(body === null ? null : JSON.stringify(body), { status, headers }))
    })
    return { asked }
  }

  it('carries the proof of our own page, the key of the intent and the mark of what was read', async () => {
    const { asked } = answering(202, { command_id: 'c1' }, { ETag: '"4"' })
    remember('csrf-1')
    const answer = await send<{ command_id: string }>('PATCH', '/people/p1', { disabled: true }, { key: 'k1', match: '"3"' })
    expect(answer).toEqual({ body: { command_id: 'c1' }, status: 202, etag: '"4"' })
    const [address, wanted] = asked[0] as [string, RequestInit]
    expect(address).toBe('/api/v1/people/p1')
    expect(wanted.body).toBe('{"disabled":true}')
    expect(wanted.credentials).toBe('same-origin')
    expect(wanted.headers).toMatchObject({ 'X-Kedge-CSRF': 'csrf-1', 'Idempotency-Key': 'k1', 'If-Match': '"3"', 'Content-Type': 'application/json' })
  })

  it('takes an answer without a body', async () => {
    answering(204, null)
    expect((await send('DELETE', '/session')).body).toBeNull()
  })

  it('turns a refusal into what, why, fix and its defects', async () => {
    answering(422, { code: 'INVALID_INPUT', title: 'a value is not valid', detail: 'the rule', fix: 'mend it', correlation_id: 'id-1', errors: [{ where: '/name', what: 'is taken' }] })
    const found = (await send('POST', '/people', {}).catch((thrown: unknown) => thrown)) as Problem
    expect(found).toBeInstanceOf(Problem)
    expect([found.code, found.message, found.why, found.fix, found.correlation, found.defects]).toEqual([
      'INVALID_INPUT',
      'a value is not valid',
      'the rule',
      'mend it',
      'id-1',
      ['/name: is taken'],
    ])
  })

  it('says how long to wait, and tells whoever listens that nobody is signed in any more', async () => {
    answering(429, { code: 'TOO_MANY', title: 'too many attempts' }, { 'Retry-After': '8' })
    expect(((await send('POST', '/sign-in/password', {}).catch((thrown: unknown) => thrown)) as Problem).fix).toBe('try again in 8 s')
    const listener = vi.fn()
    whenUnknown(listener)
    answering(401, { code: 'NOT_SIGNED_IN', title: 'nobody is known to ask' })
    await send('POST', '/commands', {}).catch(() => {})
    expect(listener).toHaveBeenCalledOnce()
    answering(401, { code: 'SIGN_IN_REFUSED', title: 'name, password or code is wrong' })
    await send('POST', '/sign-in/password', {}).catch(() => {})
    expect(listener).toHaveBeenCalledOnce()
  })

  it('calls a server that does not answer unreachable', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed')))
    expect(((await send('POST', '/commands', {}).catch((thrown: unknown) => thrown)) as Problem).code).toBe('UNREACHABLE')
  })
})
