/**
 * What a history is made of: everything that clients, the far sides of channels,
 * agents and whoever starts, stops and kills the gateway did and saw, each in its
 * own words and none of them the gateway's. A history is a file of lines of JSON;
 * the checker reads nothing else. An operation begins with `invoke` and ends with
 * `ok` (it happened), `fail` (it did not happen) or `info` (nobody knows).
 */

/** A moment in milliseconds of the machine's monotonic clock: comparable between processes, with fractions. */
export type Moment = number

/** How far an operation is. */
export type Phase = "invoke" | "ok" | "fail" | "info"

/** What the channel promises of its deliveries. */
export type DeliveryClass = "pull" | "keyed" | "edit" | "resend-once" | "hold"

interface Told {
  readonly at: Moment
  /** Who says it: a client, a far side, an agent, the supervisor. */
  readonly by: string
}

/** A client hands in a message. `ok` is the acknowledgement, `fail` a refusal for good, `info` a lost answer. */
export interface Send extends Told {
  readonly op: "send"
  readonly phase: Phase
  readonly channel: string
  /** What the channel promises, where nothing may ever be shown on it. */
  readonly class?: DeliveryClass
  readonly conversation: string
  /** The client's own id of the message, the same in each repeat; unique in the whole history. */
  readonly id: string
  /** Place among what this client sent in this conversation, from 1; the client sends n+1 after n is acknowledged. */
  readonly n: number
  /** The number of the acknowledgement, with `ok`. */
  readonly seq?: number
  readonly duplicate?: boolean
  /** A command or a message that may end without an answer of an agent: only its end counts, not its order. */
  readonly command?: boolean
  /** It may end with nothing shown for it: somebody or a policy may cancel it, drop it, or refuse its answer. */
  readonly unseen?: boolean
  /** The host says it by itself: it has no number, no run and no answer, and its end is that it is shown. */
  readonly post?: boolean
  /** A command that may make copies of messages of its conversation, each accepted like a message of its own. */
  readonly retry?: boolean
  readonly why?: string
}

/**
 * An agent's program begins a run (`invoke`) and ends it: `ok` before it lets go of its answer, `fail` when it was told
 * to stop or gives up. No end: it died. `info`, any number of times, says that it is still alive, also after its end;
 * ids that it did not have before were handed to it while it ran, and it took them over.
 */
export interface Run extends Told {
  readonly op: "run"
  readonly phase: Phase
  readonly conversation: string
  /** Which run it is: unique in the whole history. */
  readonly run: string
  /** Which session of the conversation it is of, where there are several: each has its own order. */
  readonly session?: string
  readonly pid: number
  /** The epoch of the gateway that began it, as its marker says. */
  readonly epoch?: number
  /** Ids of the messages that it was given so far, in order. */
  readonly ids: ReadonlyArray<string>
  /** With `invoke`: processes of other runs of this conversation that it found alive. */
  readonly besides?: ReadonlyArray<number>
  /** Which kind of agent it is, for the figures. */
  readonly kind?: string
  /** Of an agent that keeps conversations: which of its own it is. */
  readonly memory?: string
  /** With `info`: its answer is written down where the next gateway looks for it, which says nothing of its life. */
  readonly stored?: boolean
}

/**
 * What a far side shows: `new` a message of its own, `edit` an earlier one has this text now, `pull` a reader got it.
 * It is seen from its first line on; `ok` says that the gateway was told, `info` that the answer got lost. `fail` is a
 * request that was lost before anything was shown, and its `remoteId` is empty. Readers pull from the first number on.
 */
export interface Deliver extends Told {
  readonly op: "deliver"
  readonly phase: Phase
  readonly channel: string
  readonly class: DeliveryClass
  readonly conversation: string
  readonly kind: "new" | "edit" | "pull"
  /** The far side's id of what is shown (its number, for a pull). */
  readonly remoteId: string
  /** The key that came with it, for classes that have one. */
  readonly key?: string
  /** `answer` of an agent, `notice` of the gateway, `command`'s reply, `placeholder`, or a `copy` that says so. */
  readonly what: "answer" | "notice" | "command" | "placeholder" | "copy"
  /** The messages that it answers or ends, in order, as its text (or `inReplyTo`) says; none for other notices. */
  readonly ids: ReadonlyArray<string>
  /**
   * With `fail`, what the gateway was told: nothing (`lost`, unless it is said), that nothing was shown and may be tried
   * again (`unsent`), or that it never will be (`refused`).
   */
  readonly failure?: "lost" | "unsent" | "refused"
  /** Of a notice that sets its messages aside: why, and after how many times, as its text says. */
  readonly aside?: { readonly why: "crashed" | "cut" | "failed"; readonly times: number }
  /** Which part of an answer that was cut into several, from 1. */
  readonly part?: number
  /** Into how many it was cut, as its text says. */
  readonly parts?: number
  /** The run that wrote it, as its text says. */
  readonly run?: string
}

/** A gateway is started (`invoke`), is ready (`ok`), or ended before (`fail`). */
export interface Boot extends Told {
  readonly op: "boot"
  readonly phase: Phase
  readonly boot: number
  readonly pid: number
  /** Messages without an end when it was started, as the clients know. */
  readonly open?: number
}

/** The gateway's process is killed by the harness, with no chance to say anything. */
export interface Kill extends Told {
  readonly op: "kill"
  readonly phase: "ok"
  readonly boot: number
  readonly pid: number
  /** What it was doing: a label of a boundary, `load`, `boot`, `stop`, `reload`, or the fault. */
  readonly during: string
}

/** A stop is asked for (`invoke`) and over (`ok`). */
export interface Stop extends Told {
  readonly op: "stop"
  readonly phase: Phase
  readonly boot: number
  /** The deadline in milliseconds that it was given, with `invoke`. */
  readonly deadline?: number
  readonly exitCode?: number
  /** With the end: how many milliseconds of it the gateway was ready to run and was given no processor. */
  readonly starved?: number
  /** The report that the gateway gave, with `ok`. */
  readonly report?: unknown
  /** What the agents did that it had to wait for, for the table of stop times. */
  readonly behaviour?: string
}

/** The process of a gateway is gone. */
export interface Exit extends Told {
  readonly op: "exit"
  readonly phase: "ok"
  readonly boot: number
  readonly pid: number
  readonly code: number | null
  readonly signal: string | null
  /** Processes with the mark of this gateway's agents that are alive after a planned exit. */
  readonly left?: ReadonlyArray<number>
}

/** The configuration is read again. */
export interface Reload extends Told {
  readonly op: "reload"
  readonly phase: Phase
  readonly boot: number
}

/** Something outside was broken on purpose, or mended: a disk, a clock, a network, a neighbour. */
export interface Fault extends Told {
  readonly op: "fault"
  readonly phase: "invoke" | "ok"
  readonly what: string
}

/** The gateway's own ledger at the end, after all work is done: what `sluice audit --json` printed. */
export interface Ledger extends Told {
  readonly op: "ledger"
  readonly phase: "ok"
  readonly ledger: unknown
}

/**
 * The harness has seen everything come to rest: no work is open, nobody sends any more. `fail`: it has waited long
 * enough, and what has no end now never gets one. Without either I1 can't be judged.
 */
export interface Rest extends Told {
  readonly op: "rest"
  readonly phase: "ok" | "fail"
}

/** A line of a history. */
export type Operation = Send | Run | Deliver | Boot | Kill | Stop | Exit | Reload | Fault | Ledger | Rest

type WithoutMoment<T> = T extends Operation ? Omit<T, "at"> & { readonly at?: Moment } : never

/** A line that is about to be written; its moment is now unless it is said. */
export type Untimed = WithoutMoment<Operation>
