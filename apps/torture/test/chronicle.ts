/**
 * Whole histories for the checker's property test: several conversations of every
 * class over several lives of a gateway that is killed and stopped, made by a seed and
 * free of faults. Turns take longer than messages are apart, so that order can break.
 */
import type { Deliver, DeliveryClass, Operation } from "../src/history/Operation.ts"
import type { Random } from "../src/world/random.ts"

export const classes: ReadonlyArray<DeliveryClass> = ["pull", "keyed", "edit", "resend-once", "hold"]

/** One life of the gateway. */
interface Life {
  readonly ready: number
  readonly end: number
  readonly stopped: boolean
}

/** How long a turn takes. */
export const turn = 90

/** Lives, one after the other; the last one has all the time it needs and is stopped. */
const lives = (random: Random, write: (operation: Operation) => void): ReadonlyArray<Life> => {
  const found: Array<Life> = []
  let at = 0
  const count = 4 + Math.floor(random() * 3)
  for (let boot = 1; boot <= count; boot++) {
    const about = { by: "supervisor", boot, pid: 1000 + boot } as const
    const ready = at + 100
    const last = boot === count
    const end = last ? 1e6 : ready + 300 + Math.floor(random() * 400)
    // One planned end that has work to cut, then mostly kills.
    const stopped = last || boot === 1 || random() < 0.3
    write({ op: "boot", phase: "invoke", ...about, at, open: 0 })
    write({ op: "boot", phase: "ok", ...about, at: ready })
    if (stopped) {
      write({ op: "stop", phase: "invoke", by: "supervisor", boot, at: end, deadline: 3_000, behaviour: "load" })
      write({ op: "exit", phase: "ok", ...about, at: end + 50, code: 0, signal: null, left: [] })
      write({ op: "stop", phase: "ok", by: "supervisor", boot, at: end + 51, exitCode: 0 })
    } else {
      write({ op: "kill", phase: "ok", ...about, at: end, during: "load" })
      write({ op: "exit", phase: "ok", ...about, at: end + 1, code: null, signal: "SIGKILL" })
    }
    found.push({ ready, end, stopped })
    at = end + 60 + Math.floor(random() * 100)
  }
  return found
}

interface Waiting {
  readonly id: string
  readonly at: number
}

/** What one conversation's people do: messages that come faster than turns end, some with a lost answer first. */
const sends = (
  conversation: string,
  promised: DeliveryClass,
  random: Random,
  number: () => number,
  write: (operation: Operation) => void
): ReadonlyArray<Waiting> => {
  const found: Array<Waiting> = []
  let at = 110 + Math.floor(random() * 50)
  for (let n = 1; n <= 12; n++) {
    const id = `${conversation}.${n}`
    const line = { op: "send", by: `client ${conversation}`, channel: promised, conversation, id, n } as const
    write({ ...line, phase: "invoke", at })
    if (random() < 0.1) write({ ...line, phase: "info", at: (at += 5) })
    found.push({ id, at: at + 1 })
    write({ ...line, phase: "ok", at: (at += 2), seq: number() })
    at += 10 + Math.floor(random() * (random() < 0.2 ? 600 : 40))
  }
  return found
}

/** The gateway's part for one conversation: turns of what waits, answers, and what becomes of both at the end of a life. */
const turns = (
  conversation: string,
  promised: DeliveryClass,
  lives: ReadonlyArray<Life>,
  waiting: ReadonlyArray<Waiting>,
  random: Random,
  write: (operation: Operation) => void
): void => {
  let [next, remote, runs] = [0, 0, 0]
  const channel = { op: "deliver", by: `far ${promised}`, channel: promised, class: promised, conversation } as const
  for (const [index, { end, ready, stopped }] of lives.entries()) {
    let at = ready + 10
    while (next < waiting.length) {
      at = Math.max(at, (waiting[next]?.at ?? 0) + 5)
      if (at >= end) break
      const ids = waiting.slice(next, next + 3).flatMap((one) => (one.at < at ? [one.id] : []))
      const run = `${conversation}-r${++runs}`
      const about = { op: "run", by: "agent", conversation, run, pid: 5000 + runs, epoch: index + 1, ids } as const
      write({ ...about, phase: "invoke", at })
      const done = at + turn
      if (done + 10 >= end) {
        // Cut: an agent that is told to stop says so, one whose gateway is killed falls silent.
        if (stopped) write({ ...about, phase: "fail", at: end + 20 })
        break
      }
      if (random() < 0.05) {
        write({ ...about, phase: "fail", at: done })
        at = done + 60
        continue
      }
      write({ ...about, phase: "ok", at: done })
      const remoteId = String(++remote)
      const shown = { ...channel, remoteId, ids, run, what: "answer" } as const
      if (promised === "edit") {
        write({ ...channel, phase: "ok", at: at + 1, kind: "new", remoteId, what: "placeholder", ids: [] })
        write({ ...shown, phase: "ok", at: done + 3, kind: "edit" })
      } else if (promised === "pull") write({ ...shown, phase: "ok", at: done + 3, kind: "pull" })
      else {
        const lost = random() < 0.15
        write({ ...shown, phase: "invoke", at: done + 3, kind: "new", key: `${conversation}/${remote}` })
        write({ ...shown, phase: lost ? "info" : "ok", at: done + 4, kind: "new", key: `${conversation}/${remote}` })
        if (lost && promised === "resend-once") {
          write({ ...shown, phase: "ok", at: done + 6, kind: "new", what: "copy", remoteId: String(++remote) })
        }
      }
      next += ids.length
      at = done + 10 + Math.floor(random() * 10)
    }
  }
}

/** A history without a fault. */
export const chronicle = (random: Random): ReadonlyArray<Operation> => {
  const operations: Array<Operation> = []
  const write = (operation: Operation) => void operations.push(operation)
  const span = lives(random, write)
  const sent = new Map<string, { readonly promised: DeliveryClass; readonly waiting: ReadonlyArray<Waiting> }>()
  for (const promised of classes) {
    for (const name of ["ann", "bob"]) {
      const conversation = `${promised}/${name}`
      sent.set(conversation, { promised, waiting: sends(conversation, promised, random, () => 0, write) })
    }
  }
  // Numbers are given in the order of acceptance, over all conversations.
  let seq = 0
  const accepted = operations
    .flatMap((operation, index) => (operation.op === "send" && operation.phase === "ok" ? [{ operation, index }] : []))
    .toSorted((a, b) => a.operation.at - b.operation.at)
  for (const { index, operation } of accepted) operations[index] = { ...operation, seq: ++seq }
  for (const [conversation, { promised, waiting }] of sent) turns(conversation, promised, span, waiting, random, write)
  const unknown = operations.filter(
    (one) => one.op === "deliver" && one.class === "hold" && one.phase === "info"
  ) as ReadonlyArray<Deliver>
  const unclear = unknown.reduce((sum, { ids }) => sum + ids.length, 0)
  const ends = { replied: seq - unclear, unknown: unclear }
  write({ op: "rest", phase: "ok", by: "supervisor", at: 9e5 })
  write({
    op: "ledger",
    phase: "ok",
    by: "supervisor",
    at: 9e5 + 1,
    ledger: { accepted: seq, open: 0, ends, balanced: true }
  })
  return operations.toSorted((a, b) => a.at - b.at)
}
