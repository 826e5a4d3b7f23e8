/**
 * The ways in which a good history is spoiled in one place, each with the invariant
 * that the checker must report. What a spoiling breaks beside it is allowed: a second
 * run beside another one is two runs, and a second run of what was answered as well.
 */
import type { Deliver, DeliveryClass, Operation, Run } from "../src/history/Operation.ts"
import type { Random } from "../src/world/random.ts"
import { classes, turn } from "./chronicle.ts"

type Operations = ReadonlyArray<Operation>

/** One way to spoil a history, and the invariant that it breaks. */
export interface Spoiling {
  readonly name: string
  readonly breaks: string
  readonly spoil: (operations: Operations, random: Random) => Operations
}

const pick = <A>(list: ReadonlyArray<A>, random: Random): A => {
  const found = list[Math.floor(random() * list.length)]
  if (found === undefined) throw new Error("this history has nothing to spoil in this way")
  return found
}

const answersOf = (operations: Operations, ...of: ReadonlyArray<DeliveryClass>): ReadonlyArray<Deliver> =>
  operations.filter(
    (one): one is Deliver =>
      one.op === "deliver" && one.phase === "ok" && one.what === "answer" && of.includes(one.class)
  )

const strict = ["pull", "keyed", "edit"] as const

const beginsOf = (operations: Operations): ReadonlyArray<Run> =>
  operations.filter((one): one is Run => one.op === "run" && one.phase === "invoke")

const sameThing = (a: Deliver, b: Operation): boolean =>
  b.op === "deliver" && b.conversation === a.conversation && b.remoteId === a.remoteId && b.what === a.what

/** An answer and the one after it in the same conversation. */
const neighbours = (operations: Operations, random: Random): readonly [Deliver, Deliver] => {
  const answers = answersOf(operations, ...strict)
  const pairs = answers.flatMap((one, index) => {
    const next = answers.slice(index + 1).find(({ conversation }) => conversation === one.conversation)
    return next === undefined ? [] : [[one, next] as const]
  })
  return pick(pairs, random)
}

const bySend = (operations: Operations, id: string | undefined, phase: "invoke" | "ok") =>
  operations.findIndex((one) => one.op === "send" && one.id === id && one.phase === phase)

export const spoilings: ReadonlyArray<Spoiling> = [
  {
    name: "an answer is dropped",
    breaks: "I1",
    spoil: (operations, random) => {
      const gone = pick(answersOf(operations, ...strict), random)
      return operations.filter((one) => !sameThing(gone, one))
    }
  },
  {
    name: "an answer is edited over",
    breaks: "I1",
    spoil: (operations, random) => {
      const one = pick(answersOf(operations, "edit"), random)
      const { run: _, ...over } = one
      return [...operations, { ...over, what: "placeholder", ids: [], at: 8e5 }]
    }
  },
  {
    name: "an answer names what nobody sent",
    breaks: "I2",
    spoil: (operations, random) => {
      const one = pick(answersOf(operations, ...classes), random)
      return operations.map((each) => (sameThing(one, each) ? { ...one, ids: [...one.ids, "nobody.1"] } : each))
    }
  },
  {
    name: "an answer appears in another conversation",
    breaks: "I2",
    spoil: (operations, random) => {
      const one = pick(answersOf(operations, ...classes), random)
      return [...operations, { ...one, conversation: `${one.conversation}-other`, at: one.at + 1 }]
    }
  },
  {
    name: "an answer comes before its message is sent",
    breaks: "I2",
    spoil: (operations, random) => {
      const one = pick(answersOf(operations, ...classes), random)
      const at = (operations[bySend(operations, one.ids[0], "invoke")]?.at ?? 0) - 1
      return operations.map((each) => (sameThing(one, each) ? { ...each, at } : each))
    }
  },
  {
    name: "an answer is of a run that did not answer",
    breaks: "I2",
    spoil: (operations, random) => {
      const { run } = pick(answersOf(operations, ...classes), random)
      return operations.filter((one) => !(one.op === "run" && one.run === run && one.phase === "ok"))
    }
  },
  {
    name: "an answer is shown twice where once is promised",
    breaks: "I3",
    spoil: (operations, random) => {
      const one = pick(answersOf(operations, ...strict), random)
      return [...operations, { ...one, remoteId: "9999", key: "another", at: 8e5 }]
    }
  },
  {
    name: "a message is stored twice",
    breaks: "I3",
    spoil: (operations, random) => {
      const { ids } = pick(answersOf(operations, ...classes), random)
      const one = operations[bySend(operations, ids[0], "ok")]
      return one?.op === "send" ? [...operations, { ...one, seq: 99_999, at: 8e5 }] : operations
    }
  },
  {
    name: "a copy is shown without a cause",
    breaks: "I4",
    spoil: (operations, random) => {
      const one = pick(answersOf(operations, "resend-once"), random)
      return [...operations, { ...one, what: "copy", remoteId: "9999", at: one.at + 0.5 }]
    }
  },
  {
    name: "a copy does not say so",
    breaks: "I4",
    spoil: (operations, random) => {
      const one = pick(answersOf(operations, "resend-once"), random)
      const lost = operations.map((each) =>
        sameThing(one, each) && each.phase === "ok" ? { ...one, phase: "info" } : each
      )
      return [...(lost as Operations), { ...one, remoteId: "9999", at: 8e5 }]
    }
  },
  {
    name: "doubt is not held",
    breaks: "I4",
    spoil: (operations, random) => {
      const one = pick(answersOf(operations, "hold"), random)
      return [...operations, { ...one, what: "copy", remoteId: "9999", at: 8e5 }]
    }
  },
  {
    name: "two answers are swapped",
    breaks: "I5",
    spoil: (operations, random) => {
      const [one, next] = neighbours(operations, random)
      const of = ({ ids, run }: Deliver) => ({ ids, ...(run === undefined ? {} : { run }) })
      return operations.map((each) => {
        if (sameThing(one, each)) return { ...(each as Deliver), ...of(next) }
        return sameThing(next, each) ? { ...(each as Deliver), ...of(one) } : each
      })
    }
  },
  {
    name: "two acknowledgements are swapped",
    breaks: "I5",
    spoil: (operations, random) => {
      const { ids } = neighbours(operations, random)[0]
      const at = bySend(operations, ids[0], "ok")
      const one = operations[at]
      if (one?.op !== "send") return operations
      const after = operations.findIndex(
        (each) => each.op === "send" && each.phase === "ok" && each.by === one.by && each.n === one.n + 1
      )
      const other = operations[after]
      if (other?.op !== "send" || one.seq === undefined || other.seq === undefined) throw new Error("no neighbour")
      return operations.with(at, { ...one, seq: other.seq }).with(after, { ...other, seq: one.seq })
    }
  },
  {
    name: "a second run begins beside one",
    breaks: "I6",
    spoil: (operations, random) => {
      const { run: answered } = pick(answersOf(operations, ...classes), random)
      const one = pick(
        beginsOf(operations).filter(({ run }) => run === answered),
        random
      )
      return [...operations, { ...one, run: `${one.run}-beside`, pid: 7, at: one.at + turn / 2 }]
    }
  },
  {
    name: "an orphan goes on beside the next run",
    breaks: "I6",
    spoil: (operations, random) => {
      const begins = beginsOf(operations)
      const pairs = begins.flatMap((one, index) => {
        const next = begins.slice(index + 1).find(({ conversation }) => conversation === one.conversation)
        return next === undefined ? [] : [{ one, next }]
      })
      const { next, one } = pick(pairs, random)
      return [...operations, { ...one, phase: "info", at: next.at + 1 }]
    }
  },
  {
    name: "a run finds another one alive",
    breaks: "I6",
    spoil: (operations, random) => {
      const one = pick(beginsOf(operations), random)
      return operations.map((each) => (each === one ? { ...one, besides: [7] } : each))
    }
  },
  {
    name: "an answered message is run again",
    breaks: "I7",
    spoil: (operations, random) => {
      const { at, run: answered } = pick(answersOf(operations, ...classes), random)
      const one = pick(
        beginsOf(operations).filter(({ run }) => run === answered),
        random
      )
      return [...operations, { ...one, run: `${one.run}-again`, pid: 7, at: at + 1 }]
    }
  },
  {
    name: "a stop takes too long",
    breaks: "I8",
    spoil: (operations) =>
      operations.map((one) => (one.op === "exit" && one.signal === null ? { ...one, at: one.at + 4_001 } : one))
  },
  {
    name: "a process is left",
    breaks: "I9",
    spoil: (operations) =>
      operations.map((one) => (one.op === "exit" && one.signal === null ? { ...one, left: [7] } : one))
  },
  {
    name: "a run outlives the stop of its gateway",
    breaks: "I9",
    spoil: (operations, random) => {
      const planned = new Set(
        operations.map((one) => (one.op === "exit" && one.signal === null ? one.boot : undefined))
      )
      const one = pick(
        beginsOf(operations).filter(({ epoch }) => planned.has(epoch)),
        random
      )
      return [...operations, { ...one, phase: "info", at: 2e6 }]
    }
  },
  {
    name: "the ledger has one message more",
    breaks: "I10",
    spoil: (operations) =>
      operations.map((one) => {
        if (one.op !== "ledger") return one
        const ledger = one.ledger as { readonly accepted: number; readonly ends: Readonly<Record<string, number>> }
        const ends = { ...ledger.ends, replied: (ledger.ends["replied"] ?? 0) + 1 }
        return { ...one, ledger: { ...ledger, accepted: ledger.accepted + 1, ends } }
      })
  },
  {
    name: "the ledger has an answer under another end",
    breaks: "I10",
    spoil: (operations) =>
      operations.map((one) => {
        if (one.op !== "ledger") return one
        const ledger = one.ledger as { readonly ends: Readonly<Record<string, number>> }
        return {
          ...one,
          ledger: { ...ledger, ends: { ...ledger.ends, replied: (ledger.ends["replied"] ?? 0) - 1, cancelled: 1 } }
        }
      })
  }
]
