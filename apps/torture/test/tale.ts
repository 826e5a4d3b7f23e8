/**
 * Histories for tests of the checker, told line by line: each method writes what one
 * party did or saw, a tick after the line before unless a moment is given. What a test
 * does not say is as it should be: a message is sent before it is acknowledged, a run
 * answers what it was given.
 */
import { judge } from "../src/checker/judge.ts"
import type { CheckerVerdict } from "../src/checker/Findings.ts"
import type { Deliver, DeliveryClass, Operation, Untimed } from "../src/history/Operation.ts"
import { inTime } from "../src/history/reader.ts"

/** Judges operations as if they were the lines of a file. */
export const judged = (operations: ReadonlyArray<Operation>, torn: ReadonlyArray<number> = []): CheckerVerdict =>
  judge("a tale", { lines: inTime(operations.map((operation, index) => ({ line: index + 1, operation }))), torn })

/** The invariants that are broken, each once, in their order. */
export const invariantsIn = ({ broken }: CheckerVerdict): ReadonlyArray<string> =>
  [...new Set(broken.map(({ invariant }) => invariant))].toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1)))

interface Where {
  readonly at?: number
  readonly in?: string
  readonly class?: DeliveryClass
}

/** What a reply may say beside whom it answers. */
type Telling = Where &
  Partial<Pick<Deliver, "what" | "run" | "key" | "part" | "parts" | "by" | "phase" | "kind" | "failure" | "aside">>

/** A history that is being told. Everything happens in one conversation of one channel unless it is said. */
export class Tale {
  readonly operations: Array<Operation> = []
  readonly #class: DeliveryClass
  #at = 0
  #n = 0
  #seq = 0
  #boots = 0

  constructor(promised: DeliveryClass = "keyed") {
    this.#class = promised
  }

  #write(operation: Untimed, at: number | undefined): this {
    this.#at = at ?? this.#at + 1
    this.operations.push({ ...operation, at: this.#at })
    return this
  }

  #channel(where: Where) {
    const promised = where.class ?? this.#class
    return { channel: promised, class: promised, conversation: where.in ?? "ann" }
  }

  /** A message that is sent and acknowledged; `seq` false on channels where acknowledgements have no number. */
  sends(
    id: string,
    options: Where & {
      readonly seq?: number | false
      readonly n?: number
      readonly by?: string
      readonly command?: boolean
      readonly post?: boolean
      readonly retry?: boolean
      /** Its line says what the channel promises. */
      readonly told?: boolean
    } = {}
  ): this {
    const { channel, class: promised, conversation } = this.#channel(options)
    const seq = options.seq === undefined ? ++this.#seq : options.seq
    this.#n++
    const line = { op: "send", by: options.by ?? "client", channel, conversation, id, n: options.n ?? this.#n } as const
    const more = {
      ...(options.command === true ? { command: true } : {}),
      ...(options.post === true ? { post: true } : {}),
      ...(options.retry === true ? { retry: true } : {}),
      ...(options.told === true ? { class: promised } : {})
    }
    this.#write({ ...line, ...more, phase: "invoke" }, options.at)
    return this.#write({ ...line, ...more, phase: "ok", ...(seq === false ? {} : { seq }) }, undefined)
  }

  /** One line about a message. */
  tries(id: string, phase: "invoke" | "ok" | "fail" | "info", options: Where & { readonly seq?: number } = {}): this {
    const { channel, conversation } = this.#channel(options)
    const seq = options.seq === undefined ? {} : { seq: options.seq }
    return this.#write({ op: "send", by: "client", channel, conversation, id, n: ++this.#n, phase, ...seq }, options.at)
  }

  begins(
    run: string,
    ids: ReadonlyArray<string>,
    options: Where & {
      readonly epoch?: number
      readonly besides?: ReadonlyArray<number>
      readonly session?: string
      readonly memory?: string
      readonly kind?: string
    } = {}
  ): this {
    const { at, epoch, besides, kind, memory, session } = options
    const more = {
      ...(kind === undefined ? {} : { kind }),
      ...(memory === undefined ? {} : { memory }),
      ...(epoch === undefined ? {} : { epoch }),
      ...(besides === undefined ? {} : { besides }),
      ...(session === undefined ? {} : { session })
    }
    const conversation = options.in ?? "ann"
    return this.#write({ op: "run", by: "agent", phase: "invoke", conversation, run, pid: 100, ids, ...more }, at)
  }

  /** A further line of a run: that it answered, gave up, is alive, or that its answer is written down. */
  says(run: string, phase: "ok" | "fail" | "info" | "stored", options: Where = {}): this {
    const begun = this.operations.find((one) => one.op === "run" && one.run === run)
    const ids = begun?.op === "run" ? begun.ids : []
    const conversation = options.in ?? "ann"
    const said = phase === "stored" ? ({ phase: "info", stored: true } as const) : { phase }
    return this.#write({ op: "run", by: "agent", ...said, conversation, run, pid: 100, ids }, options.at)
  }

  /** A run takes over what was handed to it: these are all that it has now. */
  takes(run: string, ids: ReadonlyArray<string>, options: Where = {}): this {
    const conversation = options.in ?? "ann"
    return this.#write({ op: "run", by: "agent", phase: "info", conversation, run, pid: 100, ids }, options.at)
  }

  /** A far side shows something. */
  shows(remoteId: string, ids: ReadonlyArray<string>, telling: Telling = {}): this {
    const { aside, at, by = "far", failure, key, kind, part, parts, phase = "ok", run, what = "answer" } = telling
    const { class: promised, ...where } = this.#channel(telling)
    const more = {
      ...(aside === undefined ? {} : { aside }),
      ...(failure === undefined ? {} : { failure }),
      ...(key === undefined ? {} : { key }),
      ...(part === undefined ? {} : { part }),
      ...(parts === undefined ? {} : { parts }),
      ...(run === undefined ? {} : { run })
    }
    const seen = kind ?? (promised === "pull" ? "pull" : "new")
    return this.#write(
      { op: "deliver", phase, by, ...where, class: promised, kind: seen, remoteId, what, ids, ...more },
      at
    )
  }

  /** A run that begins, answers and is shown, all as it should be. */
  answers(remoteId: string, run: string, ids: ReadonlyArray<string>, telling: Telling = {}): this {
    return this.begins(run, ids, telling)
      .says(run, "ok", telling.in === undefined ? {} : { in: telling.in })
      .shows(remoteId, ids, { ...telling, run })
  }

  /** A gateway is started and ready. */
  boots(options: Where & { readonly open?: number } = {}): this {
    const boot = ++this.#boots
    const line = { op: "boot", by: "supervisor", boot, pid: boot } as const
    this.#write({ ...line, phase: "invoke", open: options.open ?? 0 }, options.at)
    return this.#write({ ...line, phase: "ok" }, undefined)
  }

  /** A gateway is started and finds another one at its store. */
  refused(options: Where = {}): this {
    const line = { by: "supervisor", boot: ++this.#boots, pid: this.#boots } as const
    this.#write({ op: "boot", phase: "invoke", ...line }, options.at)
    this.#write({ op: "boot", phase: "fail", ...line }, undefined)
    return this.#write({ op: "exit", phase: "ok", code: 69, signal: null, ...line }, undefined)
  }

  /** The latest gateway is killed. */
  killed(options: Where = {}): this {
    const line = { by: "supervisor", boot: this.#boots, pid: this.#boots } as const
    this.#write({ op: "kill", phase: "ok", during: "load", ...line }, options.at)
    return this.#write({ op: "exit", phase: "ok", code: null, signal: "SIGKILL", ...line }, undefined)
  }

  stopAsked(options: Where & { readonly deadline?: number; readonly behaviour?: string } = {}): this {
    const { at, behaviour, deadline } = options
    const more = { ...(behaviour === undefined ? {} : { behaviour }), ...(deadline === undefined ? {} : { deadline }) }
    return this.#write({ op: "stop", phase: "invoke", by: "supervisor", boot: this.#boots, ...more }, at)
  }

  /** The latest gateway ends as it was asked to. */
  exits(
    options: Where & {
      readonly left?: ReadonlyArray<number>
      readonly report?: unknown
      readonly code?: number
      readonly starved?: number
    } = {}
  ): this {
    const { code = 0, left = [], report, starved = 0 } = options
    const line = { by: "supervisor", boot: this.#boots } as const
    this.#write({ op: "exit", phase: "ok", pid: this.#boots, code, signal: null, left, ...line }, options.at)
    return this.#write(
      { op: "stop", phase: "ok", exitCode: code, starved, ...(report === undefined ? {} : { report }), ...line },
      undefined
    )
  }

  fault(what: string): this {
    return this.#write({ op: "fault", phase: "invoke", by: "harness", what }, undefined)
  }

  ledger(
    ends: Readonly<Record<string, number>>,
    more: {
      readonly accepted?: number
      readonly open?: number
      readonly balanced?: boolean
      readonly posts?: Readonly<Record<string, number>>
    } = {}
  ): this {
    const ended = Object.values(ends).reduce((sum, one) => sum + one, 0)
    const ledger = { accepted: ended + (more.open ?? 0), open: 0, balanced: true, ends, ...more }
    return this.#write({ op: "ledger", phase: "ok", by: "supervisor", ledger }, undefined)
  }

  rests(phase: "ok" | "fail" = "ok"): this {
    return this.#write({ op: "rest", phase, by: "supervisor" }, undefined)
  }

  get verdict(): CheckerVerdict {
    return judged(this.operations)
  }

  /** What is broken, in words, with the invariant first. */
  get broken(): ReadonlyArray<string> {
    return this.verdict.broken.map(({ invariant, what }) => `${invariant} ${what}`)
  }
}

/** A history of one channel of a class. */
export const tale = (promised?: DeliveryClass): Tale => new Tale(promised)
