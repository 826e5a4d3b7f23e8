/**
 * Where a burst begins. A pure function of facts that are stored with each
 * message, so that the grouping of messages is the same before and after a
 * crash: timers only decide when a burst has ended, never what belongs to it.
 */

/** What is known of a waiting message when the next one of its session arrives. Milliseconds. */
export interface Tail {
  /** From the burst's first message to this one; 0 for the first. */
  readonly since: number
  readonly quiet: number
  readonly atMost: number
  readonly closes: boolean
}

/**
 * Milliseconds from the burst's first message to this one, or `undefined` when
 * this one opens a burst: it has no waiting predecessor in its epoch, the
 * predecessor closed the burst, it was quiet for long enough, or the cap passed.
 */
export const joins = (previous: Tail | undefined, gap: number | undefined): number | undefined => {
  if (previous === undefined || gap === undefined) return undefined
  if (previous.closes || gap >= previous.quiet) return undefined
  const since = previous.since + gap
  return since >= previous.atMost ? undefined : since
}
