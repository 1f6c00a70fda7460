// A trace as a person reads it: the chain from what was asked for down to the raw files, and beside it what came of it.

import type { Trace, TraceNode } from '../../lib/api/types.ts'

export interface Branch {
  node: TraceNode
  /** What the link to it says; empty at the root. */
  relation: string
  children: Branch[]
}

export interface Act {
  id: string
  words: string
  nodes: TraceNode[]
}

const ACTS: readonly { id: string; words: string; kinds: readonly string[] }[] = [
  { id: 'trade', words: 'The trade', kinds: ['fill', 'stop', 'order', 'risk'] },
  { id: 'judgement', words: 'The judgement', kinds: ['decision', 'prediction', 'features'] },
  { id: 'making', words: 'The making of the model', kinds: ['model', 'training', 'commit', 'feature_set'] },
  { id: 'data', words: 'The data', kinds: ['dataset', 'raw_file'] },
  { id: 'record', words: 'The record', kinds: ['run'] },
]

/** The same nodes in the order of the chain, under headings; kinds that nobody knows here come last. */
export function actsOf(trace: Trace): Act[] {
  const known = new Set(ACTS.flatMap(({ kinds }) => kinds))
  const acts = ACTS.map(({ id, words, kinds }) => ({
    id,
    words,
    nodes: trace.nodes.filter(({ kind }) => kinds.includes(kind)).toSorted((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind)),
  }))
  const others = trace.nodes.filter(({ kind }) => !known.has(kind))
  return [...acts, { id: 'others', words: 'Beside it', nodes: others }].filter(({ nodes }) => nodes.length > 0)
}

/** The chain as an indented list: each node once, where it is first reached from the root; then what leads to the root from above. */
export function treeOf(trace: Trace): Branch[] {
  const nodes = new Map(trace.nodes.map((node) => [node.key, node]))
  const seen = new Set<string>()
  const grow = (key: string, relation: string): Branch | null => {
    const node = nodes.get(key)
    if (node === undefined || seen.has(key)) return null
    seen.add(key)
    const children = trace.links.filter(({ source }) => source === key).map(({ target, relation: words }) => grow(target, words))
    return { node, relation, children: children.filter((child) => child !== null) }
  }
  const branches = [grow(trace.root, ''), ...trace.nodes.map(({ key }) => grow(key, ''))]
  return branches.filter((branch) => branch !== null)
}

/** What the links say between one node and another, for the words between two cards. */
export function relationTo(trace: Trace, node: TraceNode): string {
  const link = trace.links.find(({ target }) => target === node.key)
  if (link === undefined) return ''
  const source = trace.nodes.find(({ key }) => key === link.source)
  return source ? `${KIND_WORDS[source.kind] ?? source.kind}: ${link.relation}` : link.relation
}

export const KIND_WORDS: Record<string, string> = {
  fill: 'fill',
  order: 'order',
  risk: 'risk check',
  stop: 'stop',
  decision: 'decision',
  prediction: 'prediction',
  features: 'features',
  model: 'model',
  training: 'training run',
  commit: 'commit',
  feature_set: 'feature set',
  dataset: 'data set',
  raw_file: 'raw file',
  run: 'run',
}

/** An address inside the page for a node's card. */
export function anchorOf(node: TraceNode): string {
  return `n-${node.key.replace(/[^A-Za-z0-9_-]/g, '_')}`
}

/** Whether text is a hash or id that is worth copying rather than reading. */
export function isHash(text: string): boolean {
  return /^[0-9a-f]{32,}$/.test(text)
}
