// Which rows of a long list stand in the page: those in view and a few beyond, at most MAX_ROWS however tall the view is.

export const MAX_ROWS = 90

export interface RowWindow {
  first: number
  /** One past the last. */
  end: number
  before: number
  after: number
}

/**
 * The window of rows for a scroll position, all lengths in pixels.
 *
 * `before` and `after` are the heights of what is left out above and below, so that the scroll bar tells the truth.
 */
export function rowWindow(total: number, scrollTop: number, viewHeight: number, rowHeight: number, margin = 8): RowWindow {
  const visible = Math.ceil(Math.max(viewHeight, rowHeight) / rowHeight) + 1
  const size = Math.min(visible + 2 * margin, MAX_ROWS)
  const wanted = Math.floor(Math.max(scrollTop, 0) / rowHeight) - margin
  const first = Math.max(0, Math.min(wanted, total - size))
  const end = Math.min(total, first + size)
  return { first, end, before: first * rowHeight, after: (total - end) * rowHeight }
}
