// One way to ask the API. What fails is a Problem with what, why and what to do, whoever it came from.

import type { ProblemDocument } from './types.ts'

export class Problem extends Error {
  readonly code: string
  readonly fix: string
  readonly status: number

  constructor(status: number, code: string, detail: string, fix: string) {
    super(detail)
    this.status = status
    this.code = code
    this.fix = fix
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

/** GET a document; absent and null query values are left out. Throws a Problem, or the AbortError of `signal`. */
export async function get<T>(path: string, query: Record<string, string | number | null | undefined> = {}, signal?: AbortSignal): Promise<T> {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) if (value != null && value !== '') search.set(key, String(value))
  const text = search.toString()
  const limit = AbortSignal.timeout(path.endsWith('/recompute') ? RECOMPUTE_MS : TIMEOUT_MS)
  try {
    const answer = await fetch(`${ROOT}${path}${text ? `?${text}` : ''}`, {
      headers: { Accept: 'application/json' },
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    })
    if (!answer.ok) throw await problemOf(answer)
    return (await answer.json()) as T
  } catch (thrown) {
    if (signal?.aborted) throw thrown
    throw Problem.from(thrown)
  }
}

async function problemOf(answer: Response): Promise<Problem> {
  const body = (await answer.json().catch(() => ({}))) as Partial<ProblemDocument>
  return new Problem(
    answer.status,
    body.code ?? `HTTP_${answer.status}`,
    body.detail ?? body.title ?? `the server answered ${answer.status}`,
    body.fix ?? 'try again; the server’s log says more',
  )
}
