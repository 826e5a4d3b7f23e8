/**
 * What people do in every world of this level, so that each labelled boundary is
 * come to: messages, a tool, a question, too much at once, commands, posts, a reload,
 * and messages on channels of every class, one of which asks for patience. Each part
 * goes on through whatever boots there are, until it has seen what it waits for.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { classes, type FarChannel } from "../../world/channels.ts"
import type { World } from "../../world/World.ts"
import type { Fates } from "../../world/far.ts"
import type { Reply } from "../../world/place.ts"
import { talkOf } from "../../world/telegram.ts"
import { insist, type Person, person } from "./client.ts"

/** The people of a world and what they have not seen yet. */
export interface Deeds {
  /** A turn runs on every channel that these wait for, with something behind one of them. */
  readonly before: Effect.Effect<void>
  /** Written while there is no gateway. */
  readonly between: Effect.Effect<void, never, Scope.Scope>
  /** The parts with these names, or all; completes when everything of them is seen. */
  readonly parts: (names?: ReadonlyArray<string>) => Effect.Effect<void>
  /** A turn of the conversation runs, or has run. */
  readonly runs: (conversation: string) => Effect.Effect<void>
  readonly people: ReadonlyArray<Person>
  /** Parts that have not seen everything. */
  readonly open: ReadonlySet<string>
}

/** The persona whose agent uses tools and asks. */
const asker = "asker"

/** Keys of the configuration that the deeds need. */
export const configuration = { queue: { cap: 2 } }

const farChannels: ReadonlyArray<FarChannel> = ["keyed", "edit", "resend", "hold"]

/** The part in which somebody writes one message on a channel. */
export const alone = (channel: FarChannel): string => `${channel} alone`

/** Parts that only chains of crashes have. */
const forChains: ReadonlySet<string> = new Set([
  "long",
  "slow",
  "hang",
  "leaver",
  "telegram",
  ...farChannels.map(alone)
])

/**
 * One reply on each channel has to wait, twice: first for so long that the next one stands behind it, and then once
 * more, so that it would show if the next one went ahead.
 */
export const fates = (): Fates => {
  const asked = new Map<string, number>()
  return (channel, { act, text }) => {
    const times = asked.get(channel) ?? 0
    if (act === "place" || act === "progress" || times > 1 || !text.includes(`${channel}-patience`)) {
      return { is: "answer" }
    }
    asked.set(channel, times + 1)
    return { is: "throttle", millis: times === 0 ? 500 : 30 }
  }
}

const answers = (id: string) => (replies: ReadonlyArray<Reply>) =>
  replies.some(({ inReplyTo }) => inReplyTo.includes(id))

const timesAsked = (question: string, replies: ReadonlyArray<Reply>) =>
  replies.filter(({ text }) => text.startsWith(`${question}\n`)).length

/** Answers a question each time that it is asked, until its turn is over: a crash asks again. */
const decide = Effect.fnUntraced(function* (somebody: Person, id: string, question: string) {
  for (let answered = 0; ;) {
    const replies = yield* somebody.pull
    if (answers(id)(replies)) return
    const asked = timesAsked(question, replies)
    if (asked > answered) yield* somebody.say(`${id}-yes${asked}`, "yes", true)
    answered = asked
    yield* Effect.sleep("15 millis")
  }
})

/** Somebody writes on a channel that sends; completes when the gateway has taken it. */
const writes = Effect.fnUntraced(function* (world: World, channel: FarChannel, peer: string, n: number, text: string) {
  const id = `${channel}-${text.split(" ")[0] ?? ""}`
  const line = {
    op: "send",
    by: `client ${peer}`,
    channel,
    class: classes[channel],
    conversation: `${channel}/${peer}`,
    id,
    n
  } as const
  world.history.append({ ...line, phase: "invoke" })
  yield* world.far.write(channel, peer, id, `#${channel}-${text}`)
  world.history.append({ ...line, phase: "ok" })
})

/** Nothing of the message is still to be shown: looked at from outside, whatever its channel promises. */
const shown = (world: World, ...ids: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.suspend(() =>
    ids.every((id) => world.far.answered.has(id))
      ? Effect.void
      : Effect.andThen(
          Effect.sleep("15 millis"),
          Effect.suspend(() => shown(world, ...ids))
        )
  )

/** Three messages on a channel: one that the gateway has to be patient with, and two behind its turn. */
const platform = (world: World, channel: FarChannel): Effect.Effect<void> => {
  const write = (n: number, text: string) => writes(world, channel, "eve", n, text)
  return write(1, "patience work60").pipe(Effect.andThen(write(2, "second work20")), Effect.andThen(write(3, "third")))
}

/** How many messages somebody writes on Telegram: one for each two deaths there, and one. */
const onTelegram = 8

/** One message after the other on Telegram, each when the one before has its end. */
const chat = Effect.fnUntraced(function* ({ history, telegram }: World) {
  if (telegram === undefined) return
  const talk = talkOf("41")
  for (let n = 1; n <= onTelegram; n++) {
    const id = `telegram-41.${n}`
    const line = {
      op: "send",
      by: "client telegram-41",
      channel: "telegram",
      class: telegram.class,
      conversation: "telegram/41",
      id,
      n
    } as const
    history.append({ ...line, phase: "invoke" })
    yield* telegram.write(talk, id, `#${id} work20`)
    history.append({ ...line, phase: "ok" })
    while (!telegram.answered.has(id)) yield* Effect.sleep("15 millis")
  }
})

/** A turn of the conversation runs, or has run. */
const runs = (world: World, conversation: string): Effect.Effect<void> =>
  Effect.asVoid(
    insist(world, "/v1/status", {}, ({ body }) => JSON.stringify(body["live"] ?? []).includes(`"${conversation}`))
  )

/** The parts over HTTP; they share nothing but the gateway. */
const parts = (world: World, people: Map<string, Person>) => {
  const known = (name: string) => {
    const found = people.get(name) ?? person(world, name)
    people.set(name, found)
    return found
  }
  const [talk, tool, drop, command] = [known("talk"), known("tool"), known("drop"), known("command")]
  const [cut, long, slow] = [known("cut"), known("long"), known("slow")]
  const [hang, leaver] = [known("hang"), known("leaver")]
  const post = (id: string) =>
    insist(
      world,
      "/v1/conversations/posts/posts",
      { body: { text: `post ${id}` }, key: id },
      ({ status }) => status === 202 || status === 200
    )
  return {
    talk: talk
      .say("m1", "#m1 hello")
      .pipe(
        Effect.andThen(post("n1")),
        Effect.andThen(talk.say("m2", "#m2 work120 and")),
        Effect.andThen(talk.say("m3", "#m3 more")),
        Effect.andThen(talk.sees((replies) => ["m1", "m2", "m3"].every((id) => answers(id)(replies))))
      ),
    tool: tool
      .say("t0", `/new bench ${asker}`)
      .pipe(Effect.andThen(tool.say("t1", "tool 40ms deploy", true)), Effect.andThen(tool.sees(answers("t1")))),
    // Its turn runs until somebody decides, so that what comes meanwhile waits, and falls at the cap.
    drop: drop
      .say("d0", `/new much ${asker}`)
      .pipe(
        Effect.andThen(drop.say("d1", "ask go on", true)),
        Effect.andThen(drop.sees((replies) => timesAsked("go on", replies) > 0)),
        Effect.andThen(Effect.forEach(["d2", "d3", "d4", "d5"], (id) => drop.say(id, `more ${id}`, true))),
        Effect.andThen(decide(drop, "d1", "go on")),
        Effect.andThen(drop.sees(answers("d5")))
      ),
    command: command
      .say("c1", "/queue followup")
      .pipe(
        Effect.andThen(command.say("c2", `/new long ${asker}`)),
        Effect.andThen(command.say("c3", "hang", true)),
        Effect.andThen(runs(world, "http/command")),
        Effect.andThen(command.say("c4", "/stop")),
        Effect.andThen(command.sees(answers("c4")))
      ),
    cut: cut.sees((replies) => answers("early")(replies) && answers("late")(replies)),
    /** One turn that takes its time, for chains of crashes. */
    long: long.say("long", "#long work150").pipe(Effect.andThen(long.sees(answers("long")))),
    /** One that takes so long that it is never over when a gateway is asked to stop. */
    slow: slow.say("slow", "#slow work2500").pipe(Effect.andThen(slow.sees(answers("slow")))),
    /** An agent that never answers the first time, and listens to nobody. */
    hang: hang.say("hang", "#hang hang").pipe(Effect.andThen(hang.sees(answers("hang")))),
    /** Somebody who hangs up twice and does not come back: what is stored must be answered all the same. */
    leaver: leaver
      .say("v1", "#v1 hello")
      .pipe(
        Effect.andThen(leaver.leave("v2", "#v2 hello", 250)),
        Effect.andThen(leaver.leave("v3", "#v3 hello", 250)),
        Effect.andThen(leaver.say("v4", "#v4 hello")),
        Effect.andThen(leaver.sees(answers("v4")))
      ),
    telegram: chat(world),
    reload: Effect.asVoid(insist(world, "/v1/admin/reload", { method: "POST" }, ({ status }) => status === 200)),
    ...Object.fromEntries(
      farChannels.map((channel) => [channel, platform(world, channel)] as readonly [string, Effect.Effect<void>])
    ),
    // One message, so that its answer is the first thing that is sent: for chains of crashes.
    ...Object.fromEntries(
      farChannels.map((channel) => [alone(channel), writes(world, channel, "ann", 1, "alone work60")] as const)
    ),
    taken: shown(world, "keyed-early", "keyed-joins")
  }
}

/** What is done before the gateway is killed for the first time. */
const before = (world: World, cut: Person): Effect.Effect<void> =>
  cut
    .say("early", "#early first8000 work60")
    .pipe(
      Effect.andThen(writes(world, "keyed", "cut", 1, "early work400")),
      Effect.andThen(runs(world, "http/cut")),
      Effect.andThen(runs(world, "keyed/cut")),
      Effect.andThen(cut.say("late", "#late behind"))
    )

/** The people of a world. */
export const deeds = (world: World): Deeds => {
  const known = new Map<string, Person>()
  const work = parts(world, known)
  const open = new Set<string>()
  const [cut] = [...known.values()].filter(({ conversation }) => conversation === "cut")
  if (cut === undefined) throw new Error("nobody is cut off")
  return {
    before: before(world, cut),
    // Nobody is there to take it: the next boot has it before it resumes what was cut off.
    between: Effect.asVoid(Effect.forkScoped(writes(world, "keyed", "cut", 2, "joins"))),
    parts: (names) =>
      Effect.forEach(
        Object.entries(work).filter(([name]) => (names === undefined ? !forChains.has(name) : names.includes(name))),
        ([name, part]) => {
          open.add(name)
          return Effect.andThen(
            part,
            Effect.sync(() => open.delete(name))
          )
        },
        { concurrency: "unbounded", discard: true }
      ),
    runs: (conversation) => runs(world, conversation),
    people: [...known.values()],
    open
  }
}
