/**
 * Every sentence that Sluice itself says to a person, as a catalogue that a host
 * or a locale replaces. A sentence has an id, a Schema of its values, an audience,
 * an expiry and a rate cap; only its wording is replaceable. What people or agents
 * wrote comes in as a few neutralised words; an agent's or a provider's error text
 * never reaches a chat, only a reference that an operator can look up.
 */
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { english } from "./internal/notices/english.ts"
import { clean, firstWords } from "./internal/notices/words.ts"

export { ago, span } from "./internal/notices/words.ts"
export { english } from "./internal/notices/english.ts"
export { reference, referenced } from "./internal/notices/reference.ts"

const string = (decode: (text: string) => string) =>
  Schema.String.pipe(Schema.decodeTo(Schema.String, SchemaTransformation.transform({ decode, encode: (text) => text })))

/** The first words of what somebody wrote: one line of at most 48 characters without control or bidi characters. */
export const Words = string((text) => firstWords(text, 48))
/** A name or a short phrase: one line of at most 64 characters without control or bidi characters. */
export const Name = string((text) => firstWords(text, 64))
/** A list that keeps its line feeds: at most 1,000 characters without other control or bidi characters. */
export const Lines = string((text) => clean(text, 1000))
/** A question of an agent's, or its options, likewise: at most 2,000 characters, because nobody should allow what they can't see. */
export const Question = string((text) => clean(text, 2000))
/** A number of things. */
export const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
/** A length of time in milliseconds. */
export const Millis = Schema.Finite
/** What {@link reference} made of a turn's number. */
export const Ref = Schema.String.check(Schema.isPattern(/^[0-9a-z]{4}$/))

/** For whom a sentence is: who wrote, everybody in the conversation, or who runs the gateway (it goes to the log). */
export type Audience = "person" | "chat" | "operator"

const minute = 60_000

interface Sentence<F extends Schema.Struct.Fields> {
  readonly values: Schema.Struct<F>
  readonly audience: Audience
  readonly expiresAfter: number | undefined
  readonly cap: { readonly count: number; readonly within: number } | undefined
}

const sentence = <const F extends Schema.Struct.Fields>(
  values: F,
  options: {
    readonly audience?: Audience
    readonly expiresAfter?: number
    readonly cap?: { readonly count: number; readonly within: number }
  } = {}
): Sentence<F> => ({
  values: Schema.Struct(values),
  audience: options.audience ?? "person",
  expiresAfter: options.expiresAfter,
  cap: options.cap
})

/**
 * The sentences by id: values, audience, after how many milliseconds it is
 * pointless (then it is dropped unsent), and how often one conversation hears it.
 */
export const sentences = {
  /** A message waits behind a running turn; said at most once per busy period. */
  waiting: sentence({}, { expiresAfter: 10 * minute }),
  /** The gateway stops, to be started again at once or not. */
  goingDown: sentence(
    { restarts: Schema.Boolean },
    { audience: "chat", expiresAfter: 5 * minute, cap: { count: 1, within: 10 * minute } }
  ),
  /** The gateway is up again; `words` of the message whose turn goes on, empty when none does. */
  back: sentence(
    { words: Words },
    { audience: "chat", expiresAfter: 30 * minute, cap: { count: 1, within: 10 * minute } }
  ),
  /** A tool with side effects was running when the turn was cut. */
  cutOff: sentence({ tool: Name }),
  /** Resume policy `ask`: the turn was cut and is not run again unasked. */
  ask: sentence({ words: Words }),
  /** Resume policy `drop-with-notice`. */
  letGo: sentence({ words: Words }),
  /** Suspended after so many errors, stalls or timeouts. */
  setAside: sentence({ words: Words, count: Count, ref: Ref }),
  /** Suspended because the process died so many times in its run. */
  setAsideCrashed: sentence({ words: Words, count: Count, ref: Ref }),
  /** Suspended because planned stops cut it so many times. */
  setAsideCut: sentence({ words: Words, count: Count, ref: Ref }),
  /** The cap, with policy `summarize`. */
  tooMany: sentence({ kept: Count, summarized: Count }, { cap: { count: 1, within: minute } }),
  /** The cap, with policy `old`. */
  tooManyDropped: sentence({ kept: Count, dropped: Count }, { cap: { count: 1, within: minute } }),
  /** The cap, with policy `new`, where the channel can't refuse. */
  tooManyRefused: sentence({ words: Words }, { cap: { count: 3, within: minute } }),
  /** In front of a reply that is sent late; `age` since it was ready. */
  late: sentence({ age: Millis }),
  /** In front of a post or notice that is sent late. */
  latePost: sentence({ age: Millis }),
  /** In front of the one further copy on an ambiguous channel. */
  maybeTwice: sentence({}),
  /** The agent has lost the history of the conversation. */
  historyGone: sentence({}),
  /** A turn runs for a long time without progress; `doing` may be empty. */
  slow: sentence({ doing: Name, elapsed: Millis }, { expiresAfter: minute }),
  /** The first line of progress after a pause of more than a minute. */
  resuming: sentence({ idle: Millis }, { expiresAfter: minute }),
  /** What is shown of a turn that failed and waits for its next try. */
  tryingAgain: sentence({ wait: Millis }, { expiresAfter: minute }),
  /** The conversation's agent is not configured any more. */
  heldAgent: sentence({ agent: Name }),
  /** A budget is used up; `period` is `day` or `month`, `resumesAt` a moment in the configured zone. */
  budget: sentence({ period: Name, resumesIn: Millis, resumesAt: Name }),
  /** Replies are owed to a channel that is not configured any more. */
  heldChannel: sentence({ channel: Name, conversations: Count }, { audience: "operator" }),
  /** The agent can never answer this input. */
  rejected: sentence({ ref: Ref }),
  /** In front of an answer, with the name of its session, when the conversation is in another one by then. */
  fromSession: sentence({ name: Name }),
  /** A tool that runs, where an answer will stand. */
  usingTool: sentence({ tool: Name }),
  /** What stands in the place of an answer until it comes, on channels that edit. */
  placeholder: sentence({}),
  /** What a placeholder becomes whose turn ended without a reply. */
  noReply: sentence({}),
  /** A running turn was stopped; `waiting` messages were dropped with it. */
  stopped: sentence({ waiting: Count }),
  nothingToStop: sentence({}),
  /** A fresh conversation; `waiting` messages of the old one were cancelled. */
  startedNew: sentence({ name: Name, waiting: Count }),
  switched: sentence({ name: Name }),
  /** It was archived for so long that nothing is left of it. */
  switchedEmpty: sentence({ name: Name }),
  /** It has this agent, so it did not become the persona that was named with it. */
  switchedKeeps: sentence({ name: Name, persona: Name, agent: Name }),
  /** Archived, with its export as a file; or without, where there is no place for files. */
  archived: sentence({ name: Name }),
  archivedOnly: sentence({ name: Name }),
  /** There is none of that name; `names` are those that could be archived. */
  nothingToArchive: sentence({ name: Name, names: Lines }),
  /** Something runs or waits in it. */
  archiveBusy: sentence({ name: Name }),
  /** Its export could not be written. */
  archiveFailed: sentence({}),
  /** A line for a file, where the channel does not show it itself; `size` in words. */
  file: sentence({ name: Name, size: Name }),
  /** `names` are those that there are; `canBegin` says whether one of this name can be begun. */
  noSuchName: sentence({ name: Name, names: Lines, canBegin: Schema.Boolean }),
  timeoutIs: sentence({ timeout: Millis }),
  timeoutSet: sentence({ timeout: Millis }),
  /** The value of a setting is not one that it can have. */
  notPossible: sentence({ value: Name, allowed: Lines }),
  /** `modes` are those that there are. */
  queueIs: sentence({ mode: Name, modes: Lines }),
  queueSet: sentence({ mode: Name }),
  /** `model` may be empty: the agent's own. `models` are those that there are, where they are known. */
  modelIs: sentence({ model: Name, models: Lines }),
  modelSet: sentence({ model: Name }),
  /** The agent has no models to choose from. */
  noModels: sentence({ agent: Name }),
  /** There is no such model as was chosen; `models` are those that there are, and may be empty. */
  noModel: sentence({ model: Name, models: Lines }),
  outputSet: sentence({ mode: Name }),
  /** Whether this conversation hears of restarts: `on`, `off`, or `never` where nobody is told. */
  noticesAre: sentence({ now: Name }),
  noticesSet: sentence({ now: Name }),
  /** `where` is the conversation, `name` the session. */
  whoami: sentence({ sender: Name, where: Name, name: Name }),
  retrying: sentence({ messages: Count }),
  nothingToRetry: sentence({}),
  /** Asks before everything of the conversation is deleted. */
  forgetSure: sentence({}),
  forgotten: sentence({ waiting: Count }),
  notUnderstood: sentence({ command: Name }),
  /** A question of the agent's: options as `/allow` takes them. */
  permission: sentence({ number: Count, question: Question, options: Question }),
  /** What was written while a question is open and is none of its options waits, and so does the turn; said once for each. */
  undecided: sentence({ number: Count, question: Words, options: Lines }, { expiresAfter: 10 * minute }),
  permissionExpired: sentence({ question: Words }),
  permissionGone: sentence({}),
  /** A question of the agent's was answered. */
  decided: sentence({ option: Name })
}

/** Names one of {@link sentences}. */
export type NoticeId = keyof typeof sentences
/** What a sentence is filled with. Texts may be given whole: they are cut and neutralised. */
export type ValuesOf<Id extends NoticeId> = (typeof sentences)[Id]["values"]["Encoded"]
/** A wording: the text, or the text with the options that a channel may show as buttons. */
export type Wording = string | { readonly text: string; readonly options: ReadonlyArray<string> }
/** A wording for every sentence. Values come cut and neutralised; lengths of time come in milliseconds. */
export type Catalogue = {
  readonly [Id in NoticeId]: (values: (typeof sentences)[Id]["values"]["Type"]) => Wording
}

/** A sentence, filled and ready to be stored. */
export interface Said {
  readonly id: NoticeId
  readonly text: string
  readonly options: ReadonlyArray<string>
  readonly audience: Audience
  /** Milliseconds after which it is not sent any more. */
  readonly expiresAfter: number | undefined
  /** At most `count` of it to one conversation within so many milliseconds. */
  readonly cap: { readonly count: number; readonly within: number } | undefined
}

/** Says sentences. A value that its Schema refuses is a programmer's error and throws. */
export interface Speaker {
  readonly say: <Id extends NoticeId>(id: Id, values: ValuesOf<Id>) => Said
}

/** A speaker that words some sentences in its own way, and the others in English. */
export const make = (catalogue: Partial<Catalogue> = {}): Speaker => {
  const words: Catalogue = { ...english, ...catalogue }
  return {
    say: (id, values) => {
      const { values: schema, audience, expiresAfter, cap } = sentences[id]
      const prepared: unknown = Schema.decodeSync<Schema.Codec<unknown>>(schema)(values)
      const wording = (words[id] as (values: unknown) => Wording)(prepared)
      const worded = typeof wording === "string" ? { text: wording, options: [] } : wording
      return { id, ...worded, audience, expiresAfter, cap }
    }
  }
}

/** Who speaks: English unless a host or a locale provides its own, for example `Layer.succeed(Notices, Notices.make({...}))`. */
export const Notices = Context.Reference<Speaker>("@sluice/runtime/Notices", { defaultValue: () => make() })
