/**
 * People and their clients over several boots: what they write, with the ids that
 * they repeat until they have a receipt, and an agent that does what the texts
 * say. It remembers every receipt and every answer, and holds a store to them.
 */
import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Agent from "../../src/Agent.ts"
import type { Accepted, AcceptError, Turn } from "../../src/Message.ts"
import { TestAgent } from "../../src/testing/index.ts"
import { type Boot, rest, type World } from "./boots.ts"

/** Something that somebody wants to be stored. */
interface Sent {
  readonly channel: string
  readonly peer: string
  readonly id: string
  readonly text: string
  readonly post: boolean
  receipt: Accepted | undefined
}

/** What the people of one world have sent so far. */
export class People {
  readonly sent = new Map<string, Sent>()
  /** Runs of turns, as their agent was given them. */
  readonly runs: Array<Turn> = []
  readonly overlaps: Array<string> = []

  /** Writes it, or writes it again: a receipt that was given once is given again. */
  say(boot: Boot, channel: string, peer: string, id: string, text: string, post = false) {
    const key = `${channel}/${peer}/${id}`
    const sent: Sent = this.sent.get(key) ?? { channel, peer, id, text, post, receipt: undefined }
    this.sent.set(key, sent)
    return this.#deliver(boot, sent)
  }

  /** Everything that was ever sent, in order, as clients and pollers do that have no answer yet. */
  again(boot: Boot) {
    return Effect.forEach([...this.sent.values()], (sent) => this.#deliver(boot, sent), { discard: true })
  }

  #deliver(boot: Boot, sent: Sent): Effect.Effect<void, AcceptError> {
    const { channel, id, peer, post, text } = sent
    const accepted = post
      ? boot.handle(channel).post({ conversation: peer }, { id, text })
      : boot.say(peer, text, id, channel)
    return Effect.map(accepted, (receipt) => {
      if (sent.receipt !== undefined) {
        assert.deepStrictEqual([receipt.seq, receipt.duplicate], [sent.receipt.seq, true], `${id} was acknowledged`)
      }
      sent.receipt = receipt
    })
  }

  /** Answers each question that is shown to them, once in a life. */
  decide(boot: Boot, world: World, life: number) {
    return Effect.gen({ self: this }, function* () {
      for (const place of new Set([...this.sent.values()].map(({ channel, peer }) => `${channel} ${peer}`))) {
        const [channel = "", peer = ""] = place.split(" ")
        const seen = yield* seenBy(boot, world, channel, peer)
        const numbers = seen.flatMap((text) => /\(\/allow (\d+) and your choice\)/.exec(text)?.[1] ?? [])
        for (const [index, number] of numbers.entries()) {
          yield* this.say(boot, channel, peer, `allow-${life}-${index}`, `/allow ${number} yes`)
        }
      }
    })
  }

  /** The agent of one boot: `slow`, `long`, `tool`, `fail` and `ask` are done, then every message's id is answered. */
  agent(): TestAgent.TestAgent {
    const running = new Set<string>()
    const enter = (turn: Turn) =>
      Effect.sync(() => {
        this.runs.push(turn)
        if (running.has(turn.session)) this.overlaps.push(turn.session)
        running.add(turn.session)
      })
    const answer = (turn: Turn): Stream.Stream<Agent.AgentEvent, Agent.AgentError> =>
      Stream.unwrap(Effect.as(enter(turn), script(turn))).pipe(
        Stream.onExit(() => Effect.sync(() => running.delete(turn.session)))
      )
    // What it keeps is as good as nothing: only its commit counts here.
    const open = (session: Agent.AgentSession) => Effect.as(session.keep(`opened in ${session.epoch}`), { answer })
    return { ...TestAgent.make(), agent: Agent.make({ open }) }
  }
}

const after = (seconds: number) => Stream.drain(Stream.fromEffect(Effect.sleep(seconds * 1000)))

const ask: Stream.Stream<Agent.AgentEvent> = Stream.unwrap(
  Effect.map(Deferred.make<string | undefined>(), (decided) => {
    const question: Agent.AgentEvent = {
      _tag: "Permission",
      question: "May I?",
      options: ["yes", "no"],
      respond: (option) => Effect.asVoid(Deferred.succeed(decided, option))
    }
    return Stream.concat(Stream.succeed(question), Stream.drain(Stream.fromEffect(Deferred.await(decided))))
  })
)

const script = (turn: Turn): Stream.Stream<Agent.AgentEvent, Agent.AgentError> => {
  const does = (word: string) => turn.text.includes(word)
  const answer = Agent.text(`re: ${turn.messages.map((message) => message.id).join(" ")}`)
  if (does("fail") && turn.attempt === 1) {
    return Stream.fail(new Agent.AgentError({ reason: "Failed", cause: new Error("as it was told to") }))
  }
  const tool: ReadonlyArray<Agent.AgentEvent> = [
    { _tag: "ToolStarted", id: "t", name: "mail", sideEffects: true },
    { _tag: "ToolFinished", id: "t" }
  ]
  const pieces: ReadonlyArray<Stream.Stream<Agent.AgentEvent>> = [
    ...(does("tool") ? [Stream.fromIterable(tool)] : []),
    ...(does("ask") ? [ask] : []),
    ...(does("slow") ? [Stream.succeed(Agent.text("")), after(2)] : []),
    ...(does("long") ? [after(3600)] : []),
    Stream.succeed(answer)
  ]
  return pieces.reduce((all, piece) => Stream.concat(all, piece))
}

/** Lets time pass, and everybody answers what they are asked, until nothing is owed to these. */
export const atRest = (people: People, boot: Boot, world: World, life: number, keys: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const resting = yield* Effect.forkChild(Effect.forEach(keys, boot.gateway.settled), { startImmediately: true })
    for (let seconds = 0; resting.pollUnsafe() === undefined; seconds++) {
      if (seconds > 300) return yield* Effect.die(new Error(`not at rest: ${JSON.stringify(yield* boot.gateway.live)}`))
      yield* people.decide(boot, world, life)
      yield* pass(1)
    }
    // The last decisions came after somebody had found nothing to wait for.
    yield* rest(boot, ...keys)
  })

/** Lets that many seconds pass, in pieces. */
export const pass = (seconds: number) =>
  Effect.forEach(Array.from({ length: seconds * 4 }), () => TestClock.adjust("250 millis"), { discard: true })

const notices = [
  /^…$/,
  /^Got it\./,
  /^A lot came in while I was busy/,
  /^May I\?/,
  /^I'm still waiting for your decision on "May I\?"/,
  /^\(Ended without an answer\.\)$/
]

const outcomes = [
  /^Stopped\./,
  /^There is nothing to stop\./,
  /^All right: yes\./,
  /^There is no open question/,
  /^A fresh start/,
  /^From now on/
]
/** Without what is said before the one further copy on an ambiguous channel. */
const unmarked = (text: string) => text.replace(/^\(You may have seen this before[^)]*\)\n\n/, "")
const isOutcome = (text: string) => outcomes.some((outcome) => outcome.test(text))

/** What a person sees there, a reader of a pull channel included. */
const seenBy = (boot: Boot, world: World, channel: string, peer: string) =>
  channel === "pull"
    ? Effect.map(boot.handle(channel).page({ conversation: peer }, { after: 0, limit: 1000 }), ({ replies }) => {
        assert.deepStrictEqual(
          replies.map(({ number }) => number),
          replies.map((_, index) => index + 1)
        )
        return replies.map(({ text }) => text)
      })
    : Effect.sync(() => world.far[channel]?.seen(peer) ?? [])

/** Holds a store at rest, and what everybody sees, to what was acknowledged. Messages in `mayEnd` may be cancelled or dropped. */
export const check = (people: People, boot: Boot, world: World, mayEnd: RegExp) =>
  Effect.gen(function* () {
    const { accepted, balanced, detail, ends, open, posts } = yield* boot.gateway.audit
    const messages = [...people.sent.values()].filter(({ post }) => !post)
    assert.deepStrictEqual([accepted, open, balanced], [messages.length, 0, true], JSON.stringify(detail))
    assert.deepStrictEqual([posts.accepted, posts.open], [people.sent.size - messages.length, 0])
    assert.deepStrictEqual(people.overlaps, [])
    let unanswered = 0
    for (const place of new Set([...people.sent.values()].map(({ channel, peer }) => `${channel} ${peer}`))) {
      const [channel = "", peer = ""] = place.split(" ")
      const seen = yield* seenBy(boot, world, channel, peer)
      const here = [...people.sent.values()].filter((sent) => sent.channel === channel && sent.peer === peer)
      for (const text of seen) {
        const said = isOutcome(unmarked(text)) || notices.some((notice) => notice.test(unmarked(text)))
        const known = said || here.some(({ post, text: posted }) => post && posted === text)
        assert.isTrue(known || /re: /.test(text), `${place} sees "${text}"`)
      }
      const answers = seen.flatMap((text) => /re: (.*)$/s.exec(text)?.[1]?.split(" ") ?? [])
      const commands = here.filter(({ text }) => text.startsWith("/"))
      const outcomesOf = (texts: ReadonlyArray<string>) => texts.filter(isOutcome).length
      const once = `${place}: every command is answered once: ${JSON.stringify(seen)}`
      if (channel === "amb") {
        assert.isAtMost(outcomesOf(seen), commands.length, once)
        assert.isAtLeast(outcomesOf(seen.map(unmarked)), commands.length, once)
      } else assert.strictEqual(outcomesOf(seen), commands.length, once)
      const asked = here.filter(({ post, text }) => !post && !text.startsWith("/"))
      for (const { id } of asked) {
        const times = answers.filter((answer) => answer === id).length
        if (times === 0) {
          unanswered++
          assert.match(id, mayEnd, `${place}: ${id} is answered: ${JSON.stringify(seen)} ${JSON.stringify(detail)}`)
        } else if (channel === "amb") {
          assert.isAtMost(times, 2)
          assert.isAtMost(seen.filter((text) => text.startsWith("re: ") && text.split(" ").includes(id)).length, 1)
        } else assert.strictEqual(times, 1, `${place}: ${id} is answered once: ${JSON.stringify(seen)}`)
      }
      if (channel !== "amb") {
        const order = new Map(asked.map(({ id, receipt }) => [id, receipt?.seq ?? 0]))
        const seqs = answers.map((id) => order.get(id) ?? 0)
        assert.deepStrictEqual(
          seqs,
          seqs.toSorted((a, b) => a - b),
          `${place}: in order: ${JSON.stringify(seen)}`
        )
      }
      for (const { post, text } of here) {
        if (post) assert.strictEqual(seen.filter((shown) => shown === text).length, 1, `${place}: "${text}" once`)
      }
    }
    assert.strictEqual(ends.cancelled + ends.dropped, unanswered, JSON.stringify(detail))
    assert.strictEqual(ends.replied + ends.unknown + ends.command + unanswered, messages.length, JSON.stringify(detail))
  })

/** The ledger at any moment. */
export const balances = ({ gateway }: Boot) =>
  Effect.map(gateway.audit, ({ accepted, balanced, ends, open }) => {
    assert.isTrue(balanced)
    assert.strictEqual(accepted, open + Object.values(ends).reduce((sum, count) => sum + count, 0))
  })
