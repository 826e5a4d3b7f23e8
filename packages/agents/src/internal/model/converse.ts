/**
 * A session's conversation with a model: what it is asked in a turn, how it is
 * asked again when that failed before its first word, and what is learned of the
 * server on the way (its limit, what it refuses to be given, how it counts).
 * Nothing is repeated once a word was said: the pipeline runs the turn again.
 */
import * as Agent from "@sluice/runtime/Agent"
import type { Turn } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import type { Complete } from "../../Completions.ts"
import { agentError, type Failure } from "./failures.ts"
import * as Memory from "./memory.ts"
import * as Prompt from "./prompt.ts"
import { type Heard, type Marks, speak } from "./speak.ts"
import { estimate, ratioOf } from "./tokens.ts"
import type { ChatRequest, Manners } from "./wire.ts"

/** What the agent itself says to a person. */
export interface Words extends Marks {
  /** Told once: the oldest turns are left out from now on. */
  readonly cut: string
  /** Told once: the oldest turns are summed up from now on. */
  readonly summarized: string
}

/** Who speaks: a model with its prompt and its bounds. */
export interface Person {
  readonly model: string
  readonly system: string | undefined
  readonly maxTokens: number
  readonly temperature: number | undefined
  readonly contextTokens: number
  readonly overflow: "cut" | "summarize"
  readonly images: boolean
  readonly retries: number
  readonly words: Words
}

/** What was learned of the server and of this conversation. */
interface Learned {
  kept: Memory.Kept
  /** Tokens that fit, as far as is known. */
  limit: number
  images: boolean
  /** Summaries in a row that failed: after some of them the oldest turns are cut. */
  unsummed: number
  readonly manners: Manners
}

/** How the tries of one turn went. */
interface Tries {
  /** Repeats for reasons that pass. */
  repeats: number
  /** How often the prompt was made smaller because it was refused as too long. */
  shrinks: number
  /** Whether images go along. */
  images: boolean
}

type Events<E> = Stream.Stream<Agent.AgentEvent, E>
type Broken = Failure | Agent.AgentError

const alive: Agent.AgentEvent = { _tag: "Alive" }

/** A wait that the server asks for and that is longer than this is the pipeline's to make. */
const longestWait = 20_000
const shortestWait = 500
const maxShrinks = 4

/** What of the limit is used: a guess may be wrong by some percent in either direction. */
const margin = 0.95

const without = (manners: Manners, parameter: NonNullable<Failure["parameter"]>): boolean => {
  if (parameter === "max_tokens") {
    if (manners.completionTokens) return false
    return (manners.completionTokens = true)
  }
  const name = parameter === "temperature" ? "temperature" : "streamOptions"
  if (!manners[name]) return false
  manners[name] = false
  return true
}

class Conversation {
  readonly complete: Complete
  readonly session: Agent.AgentSession
  readonly person: Person
  readonly learned: Learned

  constructor(complete: Complete, session: Agent.AgentSession, person: Person, kept: Memory.Kept) {
    this.complete = complete
    this.session = session
    this.person = person
    this.learned = {
      kept,
      limit: person.contextTokens,
      images: person.images,
      unsummed: 0,
      manners: { completionTokens: false, streamOptions: true, temperature: true }
    }
  }

  get ratio(): number {
    return this.learned.kept.ratio ?? 1
  }

  /** Tokens that are left free for the answer. */
  get reserved(): number {
    return Math.min(this.person.maxTokens, Math.floor(this.learned.limit / 2))
  }

  request(messages: ChatRequest["messages"], several: boolean): ChatRequest {
    const { model, system, temperature } = this.person
    const told = [...(system === undefined ? [] : [system]), ...(several ? [Prompt.severalPeople] : [])].join("\n\n")
    return {
      model,
      messages,
      maxTokens: this.reserved,
      ...(told === "" ? {} : { system: told }),
      ...(temperature === undefined ? {} : { temperature })
    }
  }

  speak(request: ChatRequest) {
    return speak(this.complete(request, this.learned.manners), request.model, this.person.words)
  }

  /** Keeps with the session what was learned; a failure is the journal's, which says so itself. */
  keep(kept: Memory.Kept): Effect.Effect<void, Agent.AgentError> {
    return Effect.andThen(
      Memory.store(this.session, kept),
      Effect.sync(() => void (this.learned.kept = kept))
    )
  }
}

/** The server counts in its own way: from here on guesses are corrected by it. */
const learn = (conversation: Conversation, guessed: number, { tokens }: Heard) => {
  const { cacheReadTokens = 0, cacheWriteTokens = 0, inputTokens = 0 } = tokens
  const counted = inputTokens + cacheReadTokens + cacheWriteTokens
  const ratio = ratioOf(counted, guessed)
  const off = Math.abs(ratio / conversation.ratio - 1)
  if (counted === 0 || off < 0.15) return Effect.void
  const kept = { ...conversation.learned.kept, ratio: Math.round(ratio * 100) / 100 }
  // The answer is there: that a correction is not kept must not cost it.
  return Effect.catch(conversation.keep(kept), (error) =>
    Effect.logWarning("what was learned of the model's tokens is not kept", error.cause)
  )
}

/** A model that fails to sum up so often in a row is not paid for trying at every turn. */
const maxUnsummed = 3

/** Asks the model to sum up what is put away. A summary that fails is tried again by the next turn. */
const summarize = (conversation: Conversation, away: ReadonlyArray<Agent.PastTurn>): Events<Agent.AgentError> => {
  const { learned } = conversation
  const { kept, limit } = learned
  const upTo = away.at(-1)?.id
  if (upTo === undefined) return Stream.empty
  const room = Math.floor(((limit - conversation.reserved) * margin) / conversation.ratio / 1.2)
  const text = Memory.newest(away, room - estimate(kept.summary ?? ""))
  const question = Memory.summaryQuestion(kept.summary, text)
  const request: ChatRequest = {
    model: conversation.person.model,
    messages: [{ role: "user", parts: [{ _tag: "Text", text: question }] }],
    maxTokens: conversation.reserved
  }
  let summary = ""
  const listening = conversation.speak(request).events.pipe(
    Stream.map((event) => {
      if (event._tag !== "Text") return event
      summary += event.delta
      return alive
    }),
    Stream.concat(
      Stream.suspend(() => {
        learned.unsummed = 0
        return keptAway(conversation, { upTo, summary: Memory.fitting(summary) }, conversation.person.words.summarized)
      })
    )
  )
  return Stream.catch(listening, (error): Events<Agent.AgentError> => {
    if (error._tag === "AgentError") return Stream.fail(error)
    learned.unsummed++
    return Stream.fromEffectDrain(
      Effect.logWarning(`the oldest turns are left out of this prompt, they could not be summed up: ${error.message}`)
    )
  })
}

/** Keeps what was put away, and tells the person the first time. */
const keptAway = (conversation: Conversation, away: Memory.Kept, text: string): Events<Agent.AgentError> => {
  const { kept } = conversation.learned
  const keeping = Stream.fromEffectDrain(conversation.keep({ ...kept, ...away, told: true }))
  return kept.told === true ? keeping : Stream.concat(keeping, Stream.succeed({ _tag: "Line", text }))
}

/** Puts away what no longer fits. */
const putAway = (conversation: Conversation, away: ReadonlyArray<Agent.PastTurn>): Events<Agent.AgentError> => {
  const { learned, person } = conversation
  const upTo = away.at(-1)?.id
  if (upTo === undefined) return Stream.empty
  return person.overflow === "cut" || learned.unsummed >= maxUnsummed
    ? keptAway(conversation, { upTo }, person.words.cut)
    : summarize(conversation, away)
}

const smaller = (failure: Failure, asked: number): number =>
  Math.floor(Math.min(failure.limit ?? Number.POSITIVE_INFINITY, asked) * 0.7)

/** Not all sessions at the same moment. */
const scattered = (wait: number) => Effect.flatMap(Random.next, (random) => Effect.sleep(wait * (1 + random / 5)))

/** Whether the same turn can be asked in another way, and what has to be done for it; `undefined` when it can't. */
const again = (
  conversation: Conversation,
  failure: Failure,
  tries: Tries,
  past: number
): Effect.Effect<void> | undefined => {
  const { learned, person } = conversation
  const say = (what: string) => Effect.logInfo(`the model's server is asked again ${what}: ${failure.message}`)
  switch (failure.kind) {
    case "Full": {
      // A place in the line is waited for as long as the turn may take: that somebody else has it is no failure.
      const wait = Math.min(failure.retryAfter ?? shortestWait, longestWait)
      return Effect.andThen(say(`in ${Math.round(wait)} ms`), scattered(wait))
    }
    case "Stopping":
    case "Transient": {
      const wait = failure.retryAfter ?? shortestWait * 2 ** tries.repeats
      if (tries.repeats >= person.retries || wait > longestWait) return undefined
      tries.repeats++
      return Effect.andThen(say(`in ${Math.round(wait)} ms`), scattered(wait))
    }
    case "TooLong":
      if (past === 0 || tries.shrinks >= maxShrinks) return undefined
      tries.shrinks++
      learned.limit = smaller(failure, learned.limit)
      return say(`with at most ${learned.limit} tokens`)
    case "Images":
      if (!tries.images) return undefined
      tries.images = false
      if (failure.never === true) learned.images = false
      return say("without images")
    case "Parameter":
      return failure.parameter !== undefined && without(learned.manners, failure.parameter)
        ? say(`without ${failure.parameter}`)
        : undefined
    default:
      return undefined
  }
}

/** Asks with what fits, and again while that makes sense. */
const ask = (conversation: Conversation, turn: Turn, tries: Tries): Events<Agent.AgentError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { learned, person, ratio, reserved, session } = conversation
      const alone = Prompt.messagesOf({ past: [], turn, images: new Map() })
      const pictures = (messages: Turn["messages"]) => (tries.images ? Prompt.imagesTokens(messages) : 0)
      const fixed = estimate(person.system ?? "") + estimate(learned.kept.summary ?? "") + Prompt.tokensOf(alone)
      const budget = (learned.limit - reserved) * margin - fixed * ratio - pictures(turn.messages)
      const cost = (past: Agent.PastTurn) => Prompt.turnTokens(past) * ratio + pictures(past.messages)
      const { away, past } = yield* Memory.recall(session, learned.kept, Math.max(0, budget), cost)
      return Stream.concat(
        putAway(conversation, away),
        Stream.suspend(() => asked(conversation, turn, tries, past, away.length > 0))
      )
    })
  )

/**
 * What stops together with the gateway is no failure of the turn: that is cut in the same moment, and resumed by the
 * next boot. Whoever stops alone, for example because it was configured anew, is asked again.
 */
const unlessCut: Events<never> = Stream.fromEffectDrain(
  Effect.flatMap(Effect.flatten(Agent.StopBudget), (left) => (left === Infinity ? Effect.void : Effect.never))
)

/** The call itself, after everything that had to be done for its prompt. */
const asked = (
  conversation: Conversation,
  turn: Turn,
  tries: Tries,
  past: ReadonlyArray<Agent.PastTurn>,
  some: boolean
): Events<Agent.AgentError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { learned } = conversation
      const images = tries.images ? yield* Prompt.imagesOf(past, turn) : new Map<string, string>()
      const before = Memory.before(learned.kept) ?? (some ? Memory.before({ upTo: "" }) : undefined)
      const messages = Prompt.messagesOf({ past, turn, images, ...(before === undefined ? {} : { before }) })
      const request = conversation.request(messages, Prompt.sendersOf(past, turn).size > 1)
      const guessed = Prompt.tokensOf(messages) + estimate(request.system ?? "")
      const { events, heard } = conversation.speak(request)
      return events.pipe(
        Stream.concat(
          Stream.suspend(() =>
            images.size > 0 ? Stream.empty : Stream.fromEffectDrain(learn(conversation, guessed, heard))
          )
        ),
        Stream.catch((failure: Broken): Events<Agent.AgentError> => {
          if (failure._tag === "AgentError") return Stream.fail(failure)
          const repeat = heard.said ? undefined : again(conversation, failure, tries, past.length)
          const onwards = (): Events<Agent.AgentError> =>
            repeat === undefined
              ? Stream.fail(agentError(failure))
              : Stream.concat(Stream.fromEffect(Effect.as(repeat, alive)), ask(conversation, turn, tries))
          return failure.kind === "Stopping" ? Stream.concat(unlessCut, Stream.suspend(onwards)) : onwards()
        })
      )
    })
  )

/** Opens the conversation: the answers to its turns. */
export const converse = Effect.fnUntraced(function* (complete: Complete, session: Agent.AgentSession, person: Person) {
  const kept = yield* Memory.load(session)
  const conversation = new Conversation(complete, session, person, kept)
  return (turn: Turn): Events<Agent.AgentError> =>
    ask(conversation, turn, { repeats: 0, shrinks: 0, images: conversation.learned.images })
})
