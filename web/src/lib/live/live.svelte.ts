// What the page knows of the running system, kept by the live stream. Rows are replaced as whole arrays, so that drawing stays cheap.

import type { Candle, Decision, Fill, Following, Freshness, Message, Order, Overview, Prediction, Topic } from '../api/types.ts'
import { merged, type Identity, type Row } from './rows.ts'
import { Stream, type LinkState, type Socket } from './stream.ts'

export const identities = {
  fills: { key: (row: Fill) => row.fill_id, version: (row: Fill) => row.seq },
  orders: { key: (row: Order) => row.client_order_id, version: (row: Order) => row.updated_seq },
  decisions: { key: (row: Decision) => `${row.seq}.${row.index}`, version: (row: Decision) => row.seq },
  predictions: { key: (row: Prediction) => row.prediction_id, version: (row: Prediction) => row.seq },
  candles: { key: (row: Candle) => `${row.instrument} ${row.open_at}`, version: (row: Candle) => row.seq },
}

const TOPICS: readonly Topic[] = ['overview', 'fills', 'orders', 'decisions', 'predictions', 'candles']
/** Rows of each list that are kept here; what reaches further back is read from the API. */
const KEPT = 2_000

class Live {
  link = $state<LinkState>('connecting')
  run = $state.raw<string | null>(null)
  overview = $state.raw<Overview | null>(null)
  freshness = $state.raw<Freshness | null>(null)
  following = $state.raw<Following | null>(null)
  fills = $state.raw<Fill[]>([])
  orders = $state.raw<Order[]>([])
  decisions = $state.raw<Decision[]>([])
  predictions = $state.raw<Prediction[]>([])
  candles = $state.raw<Candle[]>([])
  /** When something last arrived, by topic; milliseconds of the wall clock. */
  at = $state<Partial<Record<Topic | 'heartbeat', number>>>({})
  problem = $state<string | null>(null)
  /** How often a list of this run began anew: what was put together from it before may have a hole. */
  anew = $state<Partial<Record<Topic, number>>>({})
  /** Lists were incomplete and were asked for again. */
  reconciling = $state(false)
  #stream: Stream | null = null
  readonly #begun = new Set<Topic>()

  start(): () => void {
    this.#stream = new Stream(
      TOPICS,
      {
        connect: () => new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws/v1`) as Socket,
        later: (call, milliseconds) => setTimeout(call, milliseconds),
        cancel: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
        random: Math.random,
      },
      {
        message: (message) => this.#take(message),
        state: (state) => (this.link = state),
        gap: () => (this.reconciling = true),
      },
    )
    this.#stream.start()
    return () => {
      this.#stream?.stop()
      this.#forget()
    }
  }

  /** Leave nothing on the page of what somebody was allowed to read. */
  #forget(): void {
    this.#begin(null)
    this.overview = null
    this.freshness = null
    this.following = null
    this.at = {}
  }

  retryNow(): void {
    this.#stream?.retryNow()
  }

  #take(message: Message): void {
    const now = Date.now()
    if (message.type === 'problem') {
      this.problem = String(message.data.detail ?? message.data.title ?? 'the server refused what this page asked')
      return
    }
    if (message.topic === 'heartbeat') {
      this.at.heartbeat = now
      this.freshness = message.data.freshness as Freshness
      this.following = message.data.following as Following
      for (const topic of TOPICS) if (this.at[topic] !== undefined) this.at[topic] = now // what has no news is as new as the heartbeat
      return
    }
    if (message.run !== this.run) this.#begin(message.run)
    this.at[message.topic as Topic] = now
    if (message.topic === 'overview') {
      this.#overview(message.data as unknown as Overview)
      return
    }
    this.#rows(message)
  }

  #begin(run: string | null): void {
    this.run = run
    this.fills = []
    this.orders = []
    this.decisions = []
    this.predictions = []
    this.candles = []
    this.problem = null
    this.anew = {}
    this.#begun.clear()
  }

  #overview(overview: Overview): void {
    this.overview = overview
    this.freshness = overview.freshness
    this.following = overview.following
  }

  #rows(message: Message): void {
    const items = message.data.items as never[]
    const fresh = message.type === 'snapshot'
    const grown = <T extends Row>(list: T[], identity: Identity<T>): T[] => merged(fresh ? [] : list, items, identity, KEPT)
    const topic = message.topic as Topic
    if (fresh) {
      this.reconciling = false
      if (this.#begun.has(topic)) this.anew[topic] = (this.anew[topic] ?? 0) + 1
      this.#begun.add(topic)
    }
    if (message.topic === 'fills') this.fills = grown(this.fills, identities.fills)
    else if (message.topic === 'orders') this.orders = grown(this.orders, identities.orders)
    else if (message.topic === 'decisions') this.decisions = grown(this.decisions, identities.decisions)
    else if (message.topic === 'predictions') this.predictions = grown(this.predictions, identities.predictions)
    else if (message.topic === 'candles') this.candles = grown(this.candles, identities.candles)
  }
}

export const live = new Live()
