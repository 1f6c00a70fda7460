// One way to ask the API. What fails is a Problem with what, why and what to do, whoever it came from.

interface More {
  why?: string
  defects?: readonly string[]
  correlation?: string
}

export class Problem extends Error {
  readonly code: string
  readonly fix: string
  readonly status: number
  /** The rule behind it, where there is more to say than what happened. */
  readonly why: string
  /** Each defect of what was sent, with its place. */
  readonly defects: readonly string[]
  /** Finds the request in the server's log and journal. */
  readonly correlation: string

  constructor(status: number, code: string, what: string, fix: string, { why = '', defects = [], correlation = '' }: More = {}) {
    super(what)
    this.why = why
    this.status = status
    this.code = code
    this.fix = fix
    this.defects = defects
    this.correlation = correlation
  }

  /** Whatever was thrown, as a problem that can be shown. */
  static from(thrown: unknown): Problem {
    if (thrown instanceof Problem) return thrown
    if (thrown instanceof SyntaxError) return new Problem(0, 'UNREADABLE', 'the server answered something that is no JSON', 'load the page again')
    return new Problem(0, 'UNREACHABLE', 'the server does not answer', 'start it with kedge up or kedge serve; this page tries again')
  }
}

const ROOT = '/api/v1'
const TIMEOUT_MS = 15_000
const RECOMPUTE_MS = 120_000

export interface Sending {
  /** The same for every repeat of one intent, so that it happens once. */
  key?: string | undefined
  /** What the row looked like when it was read: somebody else's change in between is not overwritten. */
  match?: string | undefined
}

export interface Answer<T> {
  body: T
  status: number
  etag: string | null
}

/** Proves to the server that its own page asks; told by `/session`. */
let csrf: string | null = null

export function remember(token: string | null): void {
  csrf = token
}

let unknown = (): void => {}

/** What to do when the server no longer knows who asks. */
export function whenUnknown(call: () => void): void {
  unknown = call
}

/** GET a document; absent and null query values are left out. Throws a Problem, or the AbortError of `signal`. */
export async function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  return (await ask<T>('GET', path + searchOf(query), undefined, {}, signal)).body
}

/** GET a document with the mark that an edit of it has to carry. */
export async function getMarked<T>(path: string): Promise<Answer<T>> {
  return ask<T>('GET', path, undefined, {})
}

/** Change something. Throws a Problem. */
export async function send<T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: unknown, sending: Sending = {}): Promise<Answer<T>> {
  return ask<T>(method, path, body, sending)
}

type Query = Record<string, string | number | null | undefined>

function searchOf(query: Query): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) if (value != null && value !== '') search.set(key, String(value))
  const text = search.toString()
  return text ? `?${text}` : ''
}

async function ask<T>(method: string, path: string, body: unknown, sending: Sending, signal?: AbortSignal): Promise<Answer<T>> {
  const limit = AbortSignal.timeout(path.split('?')[0]?.endsWith('/recompute') ? RECOMPUTE_MS : TIMEOUT_MS)
  const headers: Record<string, string> = { Accept: 'application/json' }
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  if (method !== 'GET' && csrf !== null) headers['X-Kedge-CSRF'] = csrf
  if (sending.key !== undefined) headers['Idempotency-Key'] = sending.key
  if (sending.match !== undefined) headers['If-Match'] = sending.match
  try {
    const answer = await fetch(ROOT + path, {
      method,
      headers,
      credentials: 'same-origin',
      redirect: 'error',
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw await problemOf(answer)
    const text = await answer.text()
    return { body: (text === '' ? null : JSON.parse(text)) as T, status: answer.status, etag: answer.headers.get('ETag') }
  } catch (thrown) {
    if (signal?.aborted) throw thrown
    throw Problem.from(thrown)
  }
}

interface Refusal {
  code?: string
  title?: string
  detail?: string
  fix?: string
  correlation_id?: string
  errors?: { where?: string; what?: string }[]
}

async function problemOf(answer: Response): Promise<Problem> {
  const body = (await answer.json().catch(() => ({}))) as Refusal
  const wait = answer.headers.get('Retry-After')
  const { title = `the server answered ${answer.status}`, detail = '', fix = '' } = body
  const found = new Problem(
    answer.status,
    body.code ?? `HTTP_${answer.status}`,
    title,
    fix || (wait === null ? 'try again; the server’s log says more' : `try again in ${wait} s`),
    {
      why: detail === fix || detail === title ? '' : detail,
      defects: (body.errors ?? []).map(({ where = '', what = '' }) => [where, what].filter(Boolean).join(': ')),
      correlation: body.correlation_id ?? '',
    },
  )
  if (found.code === 'NOT_SIGNED_IN') unknown()
  return found
}
