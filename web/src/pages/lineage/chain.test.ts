import { describe, expect, it } from 'vitest'
import type { Trace } from '../../lib/api/types.ts'
import { actsOf, anchorOf, isHash, relationTo, treeOf, type Branch } from './chain.ts'

const node = (kind: string, id: string) => ({ key: `${kind}:${id}`, kind, id, title: '', facts: {}, at: null, seq: null, history: [], proof: null })
const trace = {
  root: 'order:o',
  nodes: [node('raw_file', 'r'), node('fill', 'f'), node('decision', 'd'), node('order', 'o'), node('risk', 'o'), node('dataset', 'x'), node('card', 'c')],
  links: [
    { source: 'fill:f', target: 'order:o', relation: 'filled' },
    { source: 'order:o', target: 'risk:o', relation: 'approved by' },
    { source: 'order:o', target: 'decision:d', relation: 'carries out' },
    { source: 'dataset:x', target: 'raw_file:r', relation: 'frozen from' },
    { source: 'raw_file:r', target: 'dataset:x', relation: 'a circle' },
  ],
} as unknown as Trace

const keys = (branch: Branch): string => [branch.node.key, ...branch.children.map(keys)].join('>')

describe('a chain taken apart', () => {
  it('stands in the order from the fill to the raw files, whatever order the nodes came in', () => {
    const acts = actsOf(trace)
    expect(acts.flatMap(({ nodes }) => nodes.map(({ kind }) => kind))).toEqual(['fill', 'order', 'risk', 'decision', 'dataset', 'raw_file', 'card'])
    expect(acts.at(-1)?.words).toBe('Beside it')
  })

  it('shows the stop that closed a position with the trade', () => {
    const stopped = { ...trace, nodes: [node('decision', 'd'), node('stop', 'X@7'), node('fill', 'f')] } as unknown as Trace
    expect(actsOf(stopped).map(({ id, nodes }) => [id, nodes.length])).toEqual([
      ['trade', 2],
      ['judgement', 1],
    ])
  })

  it('is a tree from the root, with every node once even where links turn in a circle', () => {
    const tree = treeOf(trace)
    expect(keys(tree[0]!)).toBe('order:o>risk:o>decision:d')
    const all = tree.map(keys).join('>').split('>')
    expect([all.length, new Set(all).size]).toEqual([7, 7])
  })

  it('says what leads to a node', () => {
    expect(relationTo(trace, node('order', 'o') as never)).toBe('fill: filled')
    expect(relationTo(trace, node('fill', 'f') as never)).toBe('')
  })

  it('has an address for each card and knows hashes', () => {
    expect(anchorOf(node('fill', 'a:b/c') as never)).toBe('n-fill_a_b_c')
    expect([isHash('a'.repeat(64)), isHash('0.25'), isHash('BTC')]).toEqual([true, false, false])
  })
})
