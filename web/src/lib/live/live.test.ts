import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { History } from './history.svelte.ts'
import { identities, live } from './live.svelte.ts'

class Server {
  static now: Server
  onmessage: ((event: { data: string }) => void) | null = null
  constructor() {
    Server.now = this
  }
  send(): void {}
  close(): void {}
  says(topic: string, type: string, seqs: number[], run = 'r1', after: number | null = null): void {
    const items = seqs.map((seq) => ({ seq, fill_id: `f${seq}`, side: 'buy' }))
    this.onmessage?.({ data: JSON.stringify({ topic, type, run, seq: Math.max(...seqs), after_seq: after, ts: '', data: { items } }) })
  }
}

describe('what the page knows', () => {
  let stop: () => void
  beforeEach(() => {
    vi.stubGlobal('WebSocket', Server)
    vi.stubGlobal('location', { protocol: 'http:', host: 'kedge' })
    stop = live.start()
  })
  afterEach(() => {
    stop()
    vi.unstubAllGlobals()
  })

  it('says when a list began anew, since what was put together from it may have a hole', () => {
    Server.now.says('fills', 'snapshot', [1, 2])
    Server.now.says('fills', 'delta', [3], 'r1', 2)
    expect([live.fills.map(({ seq }) => seq), live.anew.fills ?? 0]).toEqual([[3, 2, 1], 0])
    Server.now.says('fills', 'snapshot', [5_000, 5_001])
    expect([live.fills.map(({ seq }) => seq), live.anew.fills]).toEqual([[5_001, 5_000], 1])
    Server.now.says('fills', 'snapshot', [7], 'r2')
    expect([live.run, live.anew.fills ?? 0]).toEqual(['r2', 0])
  })

  it('keeps a bounded part of a market that never rests', () => {
    Server.now.says('fills', 'snapshot', [0])
    for (let seq = 1; seq < 8_000; seq += 100) {
      Server.now.says('fills', 'delta', Array.from({ length: 100 }, (_, place) => seq + place), 'r1', seq - 1)
    }
    expect(live.fills[0]?.seq).toBe(8_000)
    expect(live.fills.length).toBeLessThan(2_500)
  })
})

describe('a list that reaches into the past', () => {
  const page = (from: number, cursor: string | null): Response =>
    Response.json({ items: Array.from({ length: 5 }, (_, place) => ({ seq: from - place, fill_id: `f${from - place}` })), next_cursor: cursor })

  afterEach(() => vi.unstubAllGlobals())

  it('reads no further than it may keep, and does not call that all there is', async () => {
    const asked = vi.fn(async () => page(100 - 5 * asked.mock.calls.length, 'more'))
    vi.stubGlobal('fetch', asked)
    const history = new History('/fills', identities.fills, 10)
    await history.reset({})
    for (let turn = 0; turn < 5; turn += 1) await history.older()
    expect([asked.mock.calls.length, history.rows.length, history.full, history.whole]).toEqual([2, 10, true, false])
  })

  it('goes on after a failure when told to', async () => {
    vi.stubGlobal('fetch', vi.fn().mockRejectedValueOnce(new TypeError('gone')).mockResolvedValue(page(5, null)))
    const history = new History('/fills', identities.fills)
    await history.reset({})
    expect([history.problem?.code, history.rows.length]).toEqual(['UNREACHABLE', 0])
    history.retry()
    await vi.waitFor(() => expect(history.whole).toBe(true))
    expect(history.problem).toBeNull()
  })
})
