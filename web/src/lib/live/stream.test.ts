import { beforeEach, describe, expect, it } from 'vitest'
import type { Message } from '../api/types.ts'
import { SILENCE_MS, Stream, type LinkState, type Socket } from './stream.ts'

class Server implements Socket {
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: (() => void) | null = null
  heard: unknown[] = []
  closed = false
  send(text: string): void {
    this.heard.push(JSON.parse(text))
  }
  close(): void {
    this.closed = true
  }
  says(message: Partial<Message>): void {
    this.onmessage?.({ data: JSON.stringify({ run: 'r1', after_seq: null, ts: '', data: { items: [] }, ...message }) })
  }
}

interface Timer {
  due: number
  call: () => void
}

class World {
  servers: Server[] = []
  timers = new Set<Timer>()
  now = 0
  states: LinkState[] = []
  messages: Message[] = []
  gaps: string[] = []
  stream = new Stream(
    ['fills', 'candles'],
    {
      connect: () => {
        const server = new Server()
        this.servers.push(server)
        return server
      },
      later: (call, ms) => {
        const timer = { due: this.now + ms, call }
        this.timers.add(timer)
        return timer
      },
      cancel: (timer) => void this.timers.delete(timer as Timer),
      random: () => 0.5,
    },
    {
      message: (message) => this.messages.push(message),
      state: (state) => this.states.push(state),
      gap: (topic) => this.gaps.push(topic),
    },
  )
  get server(): Server {
    const server = this.servers.at(-1)
    if (!server) throw new Error('nobody connected')
    return server
  }
  passes(ms: number): void {
    this.now += ms
    for (const timer of [...this.timers]) {
      if (timer.due > this.now) continue
      this.timers.delete(timer)
      timer.call()
    }
  }
  begins(): void {
    this.stream.start()
    this.server.onopen?.()
    this.server.says({ topic: 'fills', type: 'snapshot', seq: 10 })
    this.server.says({ topic: 'candles', type: 'snapshot', seq: 12 })
  }
}

describe('the live stream', () => {
  let world: World
  beforeEach(() => {
    world = new World()
  })

  it('asks for snapshots first and passes on what follows without a gap', () => {
    world.begins()
    expect(world.server.heard).toEqual([{ op: 'subscribe', topics: ['fills', 'candles'] }])
    world.server.says({ topic: 'fills', type: 'delta', after_seq: 10, seq: 14 })
    world.server.says({ topic: 'fills', type: 'delta', after_seq: 14, seq: 15 })
    expect(world.messages.map((message) => message.seq)).toEqual([10, 12, 14, 15])
    expect([world.gaps, world.states.at(-1)]).toEqual([[], 'live'])
  })

  it('begins anew when a message is missing, and shows nothing of what came after the gap', () => {
    world.begins()
    world.server.says({ topic: 'fills', type: 'delta', after_seq: 13, seq: 15 })
    expect(world.gaps).toEqual(['fills'])
    expect(world.messages.at(-1)?.seq).toBe(12)
    expect(world.server.heard.at(-1)).toEqual({ op: 'subscribe', topics: ['fills', 'candles'] })
  })

  it('asks once, and leaves aside what was on its way before the new snapshots', () => {
    world.begins()
    world.server.says({ topic: 'fills', type: 'delta', after_seq: 13, seq: 15 })
    world.server.says({ topic: 'candles', type: 'delta', after_seq: 12, seq: 15 })
    world.server.says({ topic: 'fills', type: 'delta', after_seq: 15, seq: 16 })
    expect([world.gaps, world.server.heard.length, world.messages.length]).toEqual([['fills'], 2, 2])
    world.server.says({ topic: 'fills', type: 'snapshot', seq: 16 })
    world.server.says({ topic: 'candles', type: 'snapshot', seq: 16 })
    world.server.says({ topic: 'candles', type: 'delta', after_seq: 16, seq: 17 })
    expect(world.messages.slice(2).map((message) => message.seq)).toEqual([16, 16, 17])
  })

  it('resumes after a break behind the topic that was read least', () => {
    world.begins()
    world.server.says({ topic: 'candles', type: 'delta', after_seq: 12, seq: 40 })
    world.server.onclose?.()
    expect(world.states.at(-1)).toBe('reconnecting')
    world.passes(10_000)
    world.server.onopen?.()
    expect(world.servers.length).toBe(2)
    expect(world.server.heard).toEqual([{ op: 'subscribe', topics: ['fills', 'candles'], run: 'r1', after_seq: 10 }])
    world.server.says({ topic: 'candles', type: 'delta', after_seq: 10, seq: 44 })
    expect([world.messages.at(-1)?.seq, world.gaps]).toEqual([44, []])
  })

  it('asks for everything again when the break came before the first snapshots were whole', () => {
    world.stream.start()
    world.server.onopen?.()
    world.server.says({ topic: 'fills', type: 'snapshot', seq: 10 })
    world.server.onclose?.()
    world.passes(10_000)
    world.server.onopen?.()
    expect(world.server.heard).toEqual([{ op: 'subscribe', topics: ['fills', 'candles'] }])
  })

  it('follows a new run from its snapshots and refuses its deltas before them', () => {
    world.begins()
    world.server.says({ topic: 'fills', type: 'delta', run: 'r2', after_seq: 10, seq: 11 })
    expect(world.gaps).toEqual(['fills'])
    world.server.says({ topic: 'fills', type: 'snapshot', run: 'r2', seq: 3 })
    world.server.says({ topic: 'fills', type: 'delta', run: 'r2', after_seq: 3, seq: 4 })
    expect(world.messages.at(-1)?.seq).toBe(4)
  })

  it('treats silence as a loss, waits longer each time, and never longer than a few seconds', () => {
    world.begins()
    world.passes(SILENCE_MS)
    expect([world.server.closed, world.states.at(-1)]).toEqual([true, 'reconnecting'])
    const waits: number[] = []
    for (let attempt = 0; attempt < 9; attempt += 1) {
      const [timer] = world.timers
      waits.push((timer?.due ?? 0) - world.now)
      world.passes(waits.at(-1) ?? 0)
      world.server.onclose?.()
    }
    expect(waits.slice(0, 3)).toEqual([250, 500, 1_000])
    expect(waits.at(-1)).toBe(8_000)
  })

  it('is kept alive by heartbeats, and stops for good when told', () => {
    world.begins()
    for (let beat = 0; beat < 10; beat += 1) {
      world.passes(SILENCE_MS - 1_000)
      world.server.says({ topic: 'heartbeat', type: 'heartbeat', seq: null })
    }
    expect(world.servers.length).toBe(1)
    world.stream.stop()
    world.passes(60_000)
    expect([world.servers.length, world.server.closed, world.states.at(-1)]).toEqual([1, true, 'closed'])
  })

  it('tries at once when asked, and once only', () => {
    world.begins()
    world.server.onclose?.()
    world.stream.retryNow()
    world.stream.retryNow()
    expect(world.servers.length).toBe(2)
  })

  it('begins anew on what it cannot read', () => {
    world.begins()
    world.server.onmessage?.({ data: '{' })
    expect(world.gaps).toEqual(['unreadable'])
  })
})
