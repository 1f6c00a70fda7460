// The WebSocket's protocol: subscribe, check that no message is missing, resume after a break, begin anew when something is.

import type { Message, Topic } from '../api/types.ts'

export type LinkState = 'connecting' | 'live' | 'reconnecting' | 'closed'

/** What of WebSocket is used, so that a test can play the server. */
export interface Socket {
  onopen: (() => void) | null
  onmessage: ((event: { data: string }) => void) | null
  onclose: (() => void) | null
  send(text: string): void
  close(): void
}

export interface Surroundings {
  connect(): Socket
  later(call: () => void, milliseconds: number): unknown
  cancel(timer: unknown): void
  /** 0 to 1, spreads reconnections. */
  random(): number
}

export interface Listener {
  message(message: Message): void
  state(state: LinkState): void
  /** Something is missing: what the page holds is not whole until the next snapshot. */
  gap(topic: string): void
}

export const SILENCE_MS = 6_000
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 8_000

export class Stream {
  readonly #topics: readonly Topic[]
  readonly #around: Surroundings
  readonly #listener: Listener
  #socket: Socket | null = null
  #run: string | null = null
  #last = new Map<string, number>()
  /** Snapshots were asked for and not all are here. */
  #awaiting = true
  #failures = 0
  #retry: unknown = null
  #silence: unknown = null

  constructor(topics: readonly Topic[], around: Surroundings, listener: Listener) {
    this.#topics = topics
    this.#around = around
    this.#listener = listener
  }

  start(): void {
    this.#listener.state('connecting')
    this.#open()
  }

  stop(): void {
    this.#around.cancel(this.#retry)
    this.#drop()
    this.#listener.state('closed')
  }

  /** Try now instead of when the waiting is over. */
  retryNow(): void {
    if (this.#socket !== null) return
    this.#around.cancel(this.#retry)
    this.#open()
  }

  #open(): void {
    const socket = this.#around.connect()
    this.#socket = socket
    this.#watch()
    socket.onopen = () => this.#subscribe()
    socket.onmessage = ({ data }) => this.#read(data)
    socket.onclose = () => this.#lost()
  }

  #subscribe(): void {
    // The topic that is furthest behind decides where to resume; rows that come twice are dropped by their keys.
    const behind = this.#last.size === this.#topics.length ? Math.min(...this.#last.values()) : null
    const resume = this.#run !== null && behind !== null ? { run: this.#run, after_seq: behind } : {}
    this.#socket?.send(JSON.stringify({ op: 'subscribe', topics: this.#topics, ...resume }))
  }

  #read(text: string): void {
    let message: Message
    try {
      message = JSON.parse(text) as Message
    } catch {
      this.#anew('unreadable')
      return
    }
    this.#watch()
    if (message.type === 'heartbeat' || message.type === 'problem') {
      if (message.type === 'heartbeat') this.#well()
      this.#listener.message(message)
      return
    }
    if (message.type === 'delta' && this.#awaiting && !this.#last.has(message.topic)) return // still on its way from before
    if (!this.#fits(message)) {
      this.#anew(message.topic)
      return
    }
    this.#well()
    this.#listener.message(message)
  }

  #well(): void {
    this.#failures = 0
    this.#listener.state('live')
  }

  /** Whether the message follows what was read of its topic; remembers how far it reaches. */
  #fits({ topic, type, run, seq, after_seq }: Message): boolean {
    const last = this.#last.get(topic)
    if (type === 'snapshot') {
      if (run !== this.#run) this.#forget()
      this.#run = run
    } else if (run !== this.#run || last === undefined || after_seq === null || after_seq > last) {
      return false
    }
    if (seq !== null) this.#last.set(topic, type === 'snapshot' ? seq : Math.max(seq, last ?? seq))
    if (this.#last.size === this.#topics.length) this.#awaiting = false
    return true
  }

  #forget(): void {
    this.#last.clear()
    this.#awaiting = true
  }

  #anew(topic: string): void {
    this.#forget()
    this.#run = null
    this.#listener.gap(topic)
    this.#subscribe()
  }

  #watch(): void {
    this.#around.cancel(this.#silence)
    this.#silence = this.#around.later(() => this.#lost(), SILENCE_MS)
  }

  #drop(): void {
    this.#around.cancel(this.#silence)
    const socket = this.#socket
    this.#socket = null
    if (socket === null) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
  }

  #lost(): void {
    this.#drop()
    this.#listener.state('reconnecting')
    const wait = Math.min(FIRST_WAIT_MS * 2 ** this.#failures, LONGEST_WAIT_MS)
    this.#failures += 1
    this.#retry = this.#around.later(() => this.#open(), wait * (0.75 + this.#around.random() / 2))
  }
}
