/**
 * What people do with a gateway that may die at any moment: messages, commands, a tool, a question, too much at once,
 * a post, a reload, a WebSocket, and messages on channels of every class. Each does its part through whatever boots there are, with
 * the same ids until it is acknowledged, and keeps its record. At the end the records say what was promised.
 */
import * as Effect from "effect/Effect"
import { appendFileSync, existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type Answer, client, type Request, Unanswered } from "./client.ts"
import { store } from "./harness.ts"
import { prove, type Pulled, type Told } from "./records.ts"
import { socketClient } from "./socketClient.ts"

/** Where the gateway is now; `url` is empty while it is nowhere. */
export interface Place {
  url: string
  token: string
  readonly stateDirectory: string
  /** The other side of the channels that send. */
  readonly far: string
}

/** A conversation over HTTP as its person remembers it. */
export interface Memory {
  readonly told: Array<Told>
  readonly posts: Array<string>
}

/** Everybody's record. */
export interface Records {
  readonly memories: Map<string, Memory>
  /** What was shown on sockets, by conversation. */
  readonly shown: Map<string, ReadonlyArray<Pulled>>
  readonly broken: Array<string>
  /** Parts of the work that are not done. */
  readonly open: Set<string>
  /** Acknowledgements that were compared with the disk. */
  seen: number
}

/** No records yet. */
export const newRecords = (): Records => ({
  memories: new Map(),
  shown: new Map(),
  broken: [],
  open: new Set(),
  seen: 0
})

const memoryOf = (records: Records, name: string): Memory => {
  const known = records.memories.get(name) ?? { told: [], posts: [] }
  records.memories.set(name, known)
  return known
}

const pause = Effect.sleep("30 millis")

/** One request to whoever is there. */
const ask = (place: Place, path: string, request?: Request): Effect.Effect<Answer, Unanswered> =>
  Effect.suspend(() =>
    place.url === ""
      ? Effect.fail(new Unanswered({ cause: "there is no gateway" }))
      : client(place.url, place.token).call(path, request)
  )

/** Asks until somebody answers with what is wanted. */
const insist = (
  place: Place,
  path: string,
  request: Request,
  wanted: (answer: Answer) => boolean
): Effect.Effect<Answer> =>
  ask(place, path, request).pipe(
    Effect.filterOrFail(wanted),
    Effect.catch(() =>
      Effect.andThen(
        pause,
        Effect.suspend(() => insist(place, path, request, wanted))
      )
    )
  )

const accepted = ({ status }: Answer) => status === 202 || status === 200
const path = (name: string, rest: string) => `/v1/conversations/${name}/${rest}`

/** Somebody writes: acknowledged means that a second connection, which can only read, finds the message on the disk. */
const say = Effect.fnUntraced(function* (place: Place, records: Records, name: string, id: string, text: string) {
  const { body } = yield* insist(place, path(name, "messages"), { body: { text }, key: id }, accepted)
  acknowledged(place, records, name, { id, text, seq: body.seq ?? 0 })
})

const acknowledged = (place: Place, records: Records, name: string, told: Told): void => {
  const { id, seq, text } = told
  const rows = store(place, "select text from sluice_inbound where seq = ? and id = ?", seq, id)
  if (rows[0]?.["text"] !== text) records.broken.push(`C1: ${name}/${id} was acknowledged and is not on the disk`)
  records.seen++
  memoryOf(records, name).told.push(told)
}

/** Somebody writes and reads on one WebSocket after the other, as long as one breaks. */
const onSocket = Effect.fnUntraced(function* (place: Place, records: Records, name: string) {
  const client = yield* socketClient(place, name)
  records.shown.set(name, client.shown)
  const say = (id: string, text: string) =>
    Effect.map(client.send(id, text), ({ seq }) => acknowledged(place, records, name, { id, text, seq }))
  yield* say("s1", "hello")
  yield* client.until(answers("s1"))
  yield* say("s2", "work 50ms and more")
  yield* say("s3", "and this")
  yield* client.until(answers("s3"))
}, Effect.scoped)

/** Each reply of the conversation came once and in order, as far as it was watched. */
const proveShown = (name: string, shown: ReadonlyArray<Pulled>, replies: ReadonlyArray<Pulled>) => {
  const line = ({ number, text }: Pulled) => `${number} ${text}`
  const [seen, stored] = [shown.map(line), replies.slice(0, shown.length).map(line)]
  return seen.join("\n") === stored.join("\n")
    ? []
    : [`C5: ${name} was shown ${JSON.stringify(seen)} of ${JSON.stringify(stored)}`]
}

const repliesOf = (place: Place, name: string): Effect.Effect<ReadonlyArray<Pulled>> =>
  Effect.map(
    insist(place, path(name, "replies?limit=1000"), {}, ({ status }) => status === 200),
    ({ body }) => body.replies ?? []
  )

/** Waits until the conversation's replies are as wanted, over as many boots as that takes. */
const sees = (place: Place, name: string, wanted: (replies: ReadonlyArray<Pulled>) => boolean): Effect.Effect<void> =>
  Effect.flatMap(repliesOf(place, name), (replies) =>
    wanted(replies)
      ? Effect.void
      : Effect.andThen(
          pause,
          Effect.suspend(() => sees(place, name, wanted))
        )
  )

const answers = (id: string) => (replies: ReadonlyArray<Pulled>) =>
  replies.some(({ inReplyTo }) => inReplyTo.includes(id))

/** A turn of the conversation runs, or has run already. */
const runs = (place: Place, name: string): Effect.Effect<void> =>
  Effect.asVoid(
    insist(place, "/v1/status", {}, ({ body }) => JSON.stringify(body["live"] ?? []).includes(`"http/${name}"`))
  )

/** The texts in the inbox of a channel: one person for each. */
const farTexts = ["one", "two throttle", "three"]
/** The channels that send. */
const farChannels = ["keyed", "edit", "hold", "resend"] as const

/** People write on the platforms; every update comes twice. */
const platforms = (place: Place): void => {
  for (const channel of farChannels) {
    for (const [index, text] of farTexts.entries()) {
      const update = `${JSON.stringify({ channel, id: `u${index}`, peer: `p${index}`, text: `${channel} ${text}` })}\n`
      appendFileSync(join(place.far, "inbox.jsonl"), update + update)
    }
  }
}

/** Every message from a platform has its end, as the disk says; what is shown for it depends on the class. */
const farDone = (place: Place) => {
  const [row] = store(
    place,
    `select count(*) as count from sluice_inbound i join sluice_conversations c on c.id = i.conversation
     where c.channel in (select value from json_each(?)) and i.ending is not null`,
    JSON.stringify(farChannels)
  )
  return row?.["count"] === farChannels.length * farTexts.length
}

/** The turn of a message asks its question; how often it did. */
const timesAsked = (question: string, replies: ReadonlyArray<Pulled>) =>
  replies.filter(({ text }) => text.startsWith(`${question}\n`)).length

/** Answers a question each time that it is asked, until its turn is over: a crash asks again. */
const decide = Effect.fnUntraced(function* (
  place: Place,
  records: Records,
  { id, name, question }: { readonly name: string; readonly id: string; readonly question: string }
) {
  for (let answered = 0; ;) {
    const replies = yield* repliesOf(place, name)
    if (answers(id)(replies)) return
    const asked = timesAsked(question, replies)
    if (asked > answered) yield* say(place, records, name, `yes-${id}-${asked}`, "yes")
    answered = asked
    yield* pause
  }
})

/** Each part of the work; they share nothing but the gateway. */
const parts = (place: Place, records: Records): { readonly [name: string]: Effect.Effect<void> } => {
  const by = (name: string) => (id: string, text: string) => say(place, records, name, id, text)
  const talk = by("talk")
  const drop = by("drop")
  const command = by("command")
  const posting = (id: string) =>
    Effect.tap(insist(place, path("talk", "posts"), { body: { text: `post ${id}` }, key: id }, accepted), () =>
      Effect.sync(() => void memoryOf(records, "talk").posts.push(id))
    )
  return {
    talk: talk("m1", "hello").pipe(
      Effect.andThen(sees(place, "talk", answers("m1"))),
      Effect.andThen(posting("n1")),
      Effect.andThen(talk("m2", "hello again")),
      Effect.andThen(posting("n2")),
      Effect.andThen(talk("m3", "work 50ms and more")),
      Effect.andThen(sees(place, "talk", answers("m3")))
    ),
    tool: by("tool")("t1", "tool 40ms deploy").pipe(Effect.andThen(sees(place, "tool", answers("t1")))),
    // Its turn runs until somebody decides, so that what comes meanwhile waits, and falls at the cap.
    drop: drop("d0", "ask go on").pipe(
      Effect.andThen(sees(place, "drop", (replies) => timesAsked("go on", replies) > 0)),
      Effect.andThen(Effect.forEach(["d1", "d2", "d3", "d4"], (id) => drop(id, `more ${id}`))),
      Effect.andThen(decide(place, records, { name: "drop", id: "d0", question: "go on" })),
      Effect.andThen(sees(place, "drop", answers("d4")))
    ),
    command: command("c1", "/queue followup").pipe(
      Effect.andThen(command("c2", "hang")),
      Effect.andThen(runs(place, "command")),
      Effect.andThen(command("c3", "/stop")),
      Effect.andThen(sees(place, "command", answers("c3")))
    ),
    platforms: Effect.sync(() => platforms(place)).pipe(
      Effect.andThen(Effect.asVoid(Effect.repeat(pause, { until: () => farDone(place) })))
    ),
    cut: decide(place, records, { name: "cut", id: "early", question: "carry on" }).pipe(
      Effect.andThen(sees(place, "cut", answers("late")))
    ),
    socket: onSocket(place, records, "socket"),
    reload: Effect.asVoid(insist(place, "/v1/admin/reload", { method: "POST" }, ({ status }) => status === 200))
  }
}

/** What was open when the boot before was killed: a turn that runs, and a message behind it. */
export const preparing = (place: Place, records: Records): Effect.Effect<void> =>
  say(place, records, "cut", "early", "ask carry on").pipe(
    Effect.andThen(sees(place, "cut", (replies) => timesAsked("carry on", replies) > 0)),
    Effect.andThen(say(place, records, "cut", "late", "behind"))
  )

/** Everything that people do; at the end somebody writes in the last moment before the stop. */
export const everything = (place: Place, records: Records): Effect.Effect<void> =>
  Effect.andThen(
    Effect.forEach(
      Object.entries(parts(place, records)),
      ([name, part]) => {
        records.open.add(name)
        return Effect.andThen(
          part,
          Effect.sync(() => records.open.delete(name))
        )
      },
      { concurrency: "unbounded", discard: true }
    ),
    say(place, records, "last", "l1", "work 30ms last")
  )

/** Nothing is owed to anybody any more. */
export const nothingOpen = (place: Place): Effect.Effect<unknown> =>
  Effect.andThen(
    sees(place, "last", answers("l1")),
    insist(place, "/v1/audit", {}, ({ body }) => body["open"] === 0)
  )

type Entry = Readonly<Record<string, string>>

const entriesOf = (place: Place, channel: string): ReadonlyArray<Entry> => {
  const file = join(place.far, `${channel}.jsonl`)
  return existsSync(file)
    ? readFileSync(file, "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line): Entry => JSON.parse(line))
    : []
}

/** What people see on a channel that sends, after its edits. */
const shown = (place: Place, channel: string): ReadonlyArray<string> => {
  const messages = new Map<string, string>()
  for (const { edits, id = "", peer = "", text = "" } of entriesOf(place, channel)) {
    if (edits === undefined) messages.set(id, `${peer} ${text}`)
    else messages.set(edits, `${messages.get(edits)?.split(" ")[0]} ${text}`)
  }
  return [...messages.values()]
}

const mark = "(You may have seen this before"

/** What each class promises about the answers, after so many crashes. */
const provePlatforms = (place: Place, crashes: number): ReadonlyArray<string> => {
  const broken: Array<string> = []
  for (const channel of farChannels) {
    const seen = shown(place, channel)
    for (const [index, text] of farTexts.entries()) {
      const answer = `${channel} ${text}`
      const copies = seen.filter((one) => one.startsWith(`p${index} `) && one.includes(answer))
      const plain = copies.filter((one) => !one.includes(mark))
      const say = (what: string) => void broken.push(`C5: ${answer} ${what}: ${JSON.stringify(seen)}`)
      if (copies.length === 0 && (channel !== "hold" || crashes === 0)) say("was never shown")
      if (channel === "resend" ? plain.length > 1 || copies.length > 1 + crashes : copies.length > 1)
        say("was shown twice")
    }
    const orphans = seen.filter((one) => one.endsWith("…"))
    if (orphans.length > crashes) broken.push(`C5: ${channel} has ${orphans.length} placeholders left`)
  }
  return broken
}

/** How a message that no reply names has ended: by what its client is told when it asks once more. */
const endOf = (place: Place, name: string, { id, text }: Told) =>
  Effect.map(insist(place, path(name, "messages?wait=1s"), { body: { text }, key: id }, accepted), ({ body }) =>
    [body.ended, body["why"]].join(" ")
  )

const silent: { readonly [ending: string]: true } = { "dropped summarize": true, "cancelled stop": true }

/** Compares all records with what everybody was promised; returns the broken promises. */
export const proveAll = Effect.fnUntraced(function* (place: Place, records: Records, crashes: number) {
  const broken = [...records.broken]
  for (const [name, { posts, told }] of records.memories) {
    const replies = yield* repliesOf(place, name)
    const named = new Set(replies.flatMap(({ inReplyTo }) => inReplyTo))
    const answered: Array<Told> = []
    for (const one of told) {
      const repeat = yield* insist(place, path(name, "messages"), { body: { text: one.text }, key: one.id }, accepted)
      if (repeat.body.seq !== one.seq || repeat.body.duplicate !== true) {
        broken.push(`C2: ${name}/${one.id} was ${one.seq} and is ${repeat.body.seq}`)
      }
      const ending = named.has(one.id) ? "" : yield* endOf(place, name, one)
      if (silent[ending] === true) continue
      answered.push(one)
    }
    broken.push(...prove(name, answered, replies, { texts: name === "talk" }).broken)
    broken.push(...proveShown(name, records.shown.get(name) ?? [], replies))
    for (const id of posts) {
      const copies = replies.filter(({ text }) => text === `post ${id}`).length
      if (copies !== 1) broken.push(`C5: post ${id} is there ${copies} times`)
    }
  }
  return [...broken, ...provePlatforms(place, crashes)]
})
