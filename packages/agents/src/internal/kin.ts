/**
 * Who belongs to a program that was started for a turn: its own process, all of
 * its group and session, whatever carries its marker, and the descendants of any
 * of them. A grandchild that made a session of its own is found by the marker,
 * one that wiped its environment by its parent. Never this process or anything
 * above it, even when the gateway itself was once started by an agent.
 */
import * as Agent from "@sluice/runtime/Agent"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ProcessTable from "./node/processTable.ts"

/** The process that everything else descends from. */
export interface Root {
  readonly pid: number
  readonly start: number
}

const sameProcess = (table: ProcessTable.Table, root: Root): boolean => table.get(root.pid)?.start === root.start

/**
 * Picks the kin out of a table. Group and session count only while `held`: as
 * long as the root or one of its known kin lives the kernel gives its number to
 * nobody else; after that a group of the same number is a stranger's.
 */
export const pick = (options: {
  readonly table: ProcessTable.Table
  readonly protect: ReadonlyMap<number, unknown>
  readonly root: Root
  readonly held: boolean
  readonly known: ReadonlyMap<number, number>
  readonly marked: (pid: number) => boolean
}): ReadonlyArray<ProcessTable.Entry> => {
  const { table, protect, root, held, known, marked } = options
  const found = new Map<number, ProcessTable.Entry>()
  const children = new Map<number, Array<ProcessTable.Entry>>()
  const add = (first: ProcessTable.Entry): void => {
    const open = [first]
    for (let entry = open.pop(); entry !== undefined; entry = open.pop()) {
      if (found.has(entry.pid)) continue
      found.set(entry.pid, entry)
      open.push(...(children.get(entry.pid) ?? []))
    }
  }
  const candidates: Array<ProcessTable.Entry> = []
  for (const entry of table.values()) {
    // Older than the root: can't descend from it, so its environment need not be read.
    if (entry.start < root.start || protect.has(entry.pid)) continue
    candidates.push(entry)
    const siblings = children.get(entry.parent)
    if (siblings === undefined) children.set(entry.parent, [entry])
    else siblings.push(entry)
  }
  for (const entry of candidates) {
    const isRoot = entry.pid === root.pid && entry.start === root.start
    const inGroup = held && (entry.group === root.pid || entry.session === root.pid)
    if (isRoot || inGroup || known.get(entry.pid) === entry.start) add(entry)
  }
  for (const entry of candidates) if (!found.has(entry.pid) && marked(entry.pid)) add(entry)
  return [...found.values()]
}

/** The processes of one program. */
export interface Kin {
  readonly root: Root
  /** Reads the table and says who lives. `rootEnds` at the moment in which the root's end is seen: its group is still its own. */
  readonly look: (rootEnds?: boolean) => ReadonlyArray<ProcessTable.Entry>
  /** Looks and sends the signal in one step, so that nothing can end and be replaced in between; says who got it. */
  readonly signal: (...names: ReadonlyArray<NodeJS.Signals>) => ReadonlyArray<ProcessTable.Entry>
  /** Waits until nobody lives or `millis` (asked again and again) have passed; says whether all are gone. `stir` wakes it early. */
  readonly gone: (millis: Effect.Effect<number>, stir?: Effect.Effect<void>) => Effect.Effect<boolean>
}

const signalAll = (
  members: ReadonlyArray<ProcessTable.Entry>,
  protect: ReadonlyMap<number, ProcessTable.Entry>,
  name: NodeJS.Signals
): void => {
  const spared = new Set([...protect.values()].map((entry) => entry.group))
  const groups = new Set(members.map((entry) => entry.group).filter((group) => group > 1 && !spared.has(group)))
  for (const group of groups) ProcessTable.signal(-group, name)
  for (const entry of members) {
    if (!groups.has(entry.group) && ProcessTable.readOne(entry.pid)?.start === entry.start) {
      ProcessTable.signal(entry.pid, name)
    }
  }
}

/** Asks again and again, at growing intervals and at once when `stir` completes, until all are gone or time is up. */
const untilGone = Effect.fnUntraced(function* (
  allGone: () => boolean,
  millis: Effect.Effect<number>,
  stir: Effect.Effect<void> | undefined
) {
  const clock = yield* Clock.Clock
  const began = clock.monotonicTimeNanosUnsafe()
  let early = stir
  let pause = 2
  while (!allGone()) {
    const left = (yield* millis) - Number(clock.monotonicTimeNanosUnsafe() - began) / 1e6
    if (left <= 0) return false
    const wait = Effect.sleep(Math.min(pause, left))
    const woken = yield* early === undefined
      ? Effect.as(wait, false)
      : Effect.race(Effect.as(wait, false), Effect.as(early, true))
    // It stays complete: a second race against it would not wait at all.
    if (woken) early = undefined
    pause = Math.min(50, pause * 2)
  }
  return true
})

/** Waits until one process has ended, whatever it has started lives on or not. */
export const ended = ({ pid, start }: Root): Effect.Effect<void> =>
  Effect.asVoid(untilGone(() => ProcessTable.readOne(pid)?.start !== start, Effect.succeed(Infinity), undefined))

/** Follows the processes of `root`, marked by exactly one of the markers that `marked` accepts. */
export const follow = (options: { readonly root: Root; readonly marked: (marker: string) => boolean }): Kin => {
  const { root } = options
  let known = new Map<number, number>([[root.pid, root.start]])
  const scan = (rootEnds: boolean) => {
    const table = ProcessTable.readAll()
    const protect = ProcessTable.lineage(table)
    const held =
      rootEnds ||
      sameProcess(table, root) ||
      [...known].some(([pid, start]) => {
        const entry = table.get(pid)
        return entry?.start === start && (entry.group === root.pid || entry.session === root.pid)
      })
    const members = pick({
      table,
      protect,
      root,
      held,
      known,
      marked: (pid) => {
        const marker = ProcessTable.variableOf(pid, Agent.markerVariable)
        return marker !== undefined && options.marked(marker)
      }
    })
    known = new Map(members.map((entry) => [entry.pid, entry.start]))
    return { members, protect }
  }
  const look = (rootEnds = false) => scan(rootEnds).members
  const stillThere = () => [...known].some(([pid, start]) => ProcessTable.readOne(pid)?.start === start)
  return {
    root,
    look,
    signal: (...names) => {
      const { members, protect } = scan(false)
      for (const name of names) signalAll(members, protect, name)
      return members
    },
    // The known ones are cheap to ask for; the table is read again only when none of them is left.
    gone: (millis, stir) => untilGone(() => !stillThere() && look().length === 0, millis, stir)
  }
}

/** Follows a group on a system that does not show its processes: only the group itself is known. */
export const followGroup = (root: Root, rootLives: () => boolean): Kin => {
  let ended = false
  const look = (): ReadonlyArray<ProcessTable.Entry> => {
    // Once the group is gone its number can be somebody else's.
    ended ||= !rootLives() && !ProcessTable.signal(-root.pid, 0)
    return ended
      ? []
      : [{ pid: root.pid, parent: ProcessTable.self, group: root.pid, session: root.pid, start: root.start }]
  }
  return {
    root,
    look,
    signal: (...names) => {
      const members = look()
      if (members.length > 0) for (const name of names) ProcessTable.signal(-root.pid, name)
      return members
    },
    gone: (millis, stir) => untilGone(() => look().length === 0, millis, stir)
  }
}
