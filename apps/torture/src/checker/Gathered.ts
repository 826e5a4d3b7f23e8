/**
 * A history as the invariants look at it: each message with what its client was told,
 * each thing that a far side showed, each run with the last sign of its life, and each
 * gateway's process with its beginning and its end. One pass over the lines; nothing
 * here judges.
 */
import type { Deliver, DeliveryClass, Moment, Operation, Send } from "../history/Operation.ts"

/** When, and which line says so. */
export interface Mark {
  readonly at: Moment
  readonly line: number
}

/** A message as its clients know it. */
export interface Message {
  readonly id: string
  readonly conversation: string
  readonly channel: string
  readonly by: string
  readonly n: number
  readonly command: boolean
  /** It may end with nothing shown for it. */
  readonly unseen: boolean
  /** The host says it by itself: it is no message of the ledger, and nobody runs it. */
  readonly post: boolean
  /** It may make copies of messages that came before it. */
  readonly retry: boolean
  /** The first try. */
  readonly first: Mark
  /** The first acknowledgement, and its number where it has one. */
  acknowledged: Mark | undefined
  seq: number | undefined
  /** A further acknowledgement that says another number. */
  renumbered: (Mark & { readonly seq: number }) | undefined
  refused: Mark | undefined
  /** A try whose answer got lost. */
  uncertain: boolean
}

/** Something that a far side showed: a text under an id of its own, from `at` on. */
export interface Shown extends Mark {
  readonly channel: string
  readonly class: DeliveryClass
  readonly conversation: string
  readonly by: string
  readonly remoteId: string
  readonly key: string | undefined
  readonly what: "answer" | "notice" | "command" | "placeholder" | "copy"
  readonly ids: ReadonlyArray<string>
  readonly aside: Deliver["aside"]
  readonly part: number
  /** Into how many it was cut. */
  readonly parts: number
  readonly run: string | undefined
  /** The gateway was told that it is shown. */
  told: boolean
  /** Another text stands there now. */
  replaced: boolean
}

/** One run of an agent. */
export interface RunSeen {
  readonly run: string
  readonly conversation: string
  readonly session: string
  readonly pid: number
  readonly ids: ReadonlyArray<string>
  /** Those of them that were handed to it while it ran, and when it took them over. */
  readonly joined: ReadonlyMap<string, Mark>
  readonly begin: Mark
  readonly besides: ReadonlyArray<number>
  readonly epoch: number | undefined
  readonly kind: string | undefined
  /** The agent's own conversation, of one that keeps some. */
  readonly memory: string | undefined
  /** Its answer is where the next gateway finds it. */
  stored: Mark | undefined
  /** How it ended, as it says. */
  end: (Mark & { readonly phase: "ok" | "fail" }) | undefined
  /** The last line that it wrote. */
  last: Mark
}

/** One process of the gateway. */
export interface BootSeen {
  readonly boot: number
  invoked: (Mark & { readonly open: number | undefined }) | undefined
  ready: Mark | undefined
  killed: Mark | undefined
  exited: (Mark & Pick<Extract<Operation, { op: "exit" }>, "code" | "signal" | "left">) | undefined
  /** The first request to stop. */
  stop: (Mark & { readonly deadline: number | undefined; readonly behaviour: string | undefined }) | undefined
  stopped: (Mark & { readonly exitCode: number | undefined; readonly report: unknown }) | undefined
  /** Milliseconds of the stop in which the machine gave it no processor. */
  starved: number
}

/** Everything of one conversation. */
export interface ConversationSeen {
  readonly name: string
  readonly messages: Array<Message>
  /** In time. */
  readonly shown: Array<Shown>
  /** In the order of their beginnings. */
  readonly runs: Array<RunSeen>
}

/** How often requests failed, by what the gateway was told of it. */
export interface Failed {
  lost: number
  unsent: number
  refused: number
}

/** Items of each session apart, in their order: sessions of one conversation don't wait for each other. */
export const bySession = <A>(items: Iterable<A>, sessionOf: (item: A) => string): ReadonlyArray<ReadonlyArray<A>> => [
  ...Map.groupBy(items, sessionOf).values()
]

/** A history, sorted into its parts. */
export interface Gathered {
  readonly lines: number
  readonly torn: number
  readonly messages: ReadonlyMap<string, Message>
  readonly conversations: ReadonlyMap<string, ConversationSeen>
  readonly runs: ReadonlyMap<string, RunSeen>
  /** Lines of runs whose beginning is not there: a dying process left it in pieces, or there was none. */
  readonly strays: ReadonlyMap<string, Mark>
  readonly boots: ReadonlyMap<number, BootSeen>
  /** The delivery class of each channel that showed anything. */
  readonly classes: ReadonlyMap<string, DeliveryClass>
  /** Requests that showed nothing: by the message that they were for, and by the conversation where they named none. */
  readonly failedRequests: ReadonlyMap<string, Failed>
  readonly faults: ReadonlyArray<Mark>
  readonly ledgers: ReadonlyArray<Mark & { readonly ledger: unknown }>
  readonly rest: (Mark & { readonly phase: "ok" | "fail" }) | undefined
  readonly end: Mark
}

/** Whether a message may be in the store: some try of it was not refused. */
export const mayBeAccepted = ({ acknowledged, refused, uncertain }: Message): boolean =>
  acknowledged !== undefined || uncertain || refused === undefined

/** Whether it ends the messages that it names. */
export const isEnd = ({ what }: Shown): boolean => what !== "placeholder"

/** Whether an agent's run wrote it; a copy may be one of a notice or of a command's reply. */
export const isAnswer = ({ run, what }: Shown): boolean => what === "answer" || (what === "copy" && run !== undefined)

/** The exit code of a gateway that finds another one at its store. */
const held = 69

/** Whether it was refused the store at its start: it did nothing, and its end explains nothing. */
export const wasRefused = ({ exited, killed, ready }: BootSeen): boolean =>
  exited?.code === held && ready === undefined && killed === undefined

/** A kill, or an end that nobody had asked for. */
export const deathOf = ({ exited, killed, stop }: BootSeen): Mark | undefined => {
  if (killed !== undefined) return killed
  if (exited === undefined) return undefined
  return exited.signal !== null || stop === undefined ? exited : undefined
}

/** An end that was asked for and came by itself. */
export const plannedExitOf = (seen: BootSeen) =>
  seen.stop !== undefined && seen.killed === undefined && seen.exited?.signal === null ? seen.exited : undefined

/** What a send line says of its message. */
export const tell = (message: Message, line: number, send: Send): void => {
  switch (send.phase) {
    case "invoke":
      return
    case "info":
      message.uncertain = true
      return
    case "fail":
      message.refused ??= { at: send.at, line }
      return
    case "ok":
      message.acknowledged ??= { at: send.at, line }
      if (send.seq === undefined) return
      message.seq ??= send.seq
      if (message.seq !== send.seq) message.renumbered ??= { at: send.at, line, seq: send.seq }
  }
}
