// kill -9 at thirty random points: under load, in the middle of a boot, in the middle of a stop. Clients retry with
// their keys until they are told that a message is on disk, pull replies by number, and keep records; the promises are
// proved from those. `SLUICE_KILL_SEED=<seed>` gives the same points again, `SLUICE_KILLS` another number of them.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { type Answer, client, type Request, Unanswered } from "../client.ts"
import { launch, now, running, start, store, temporaryFolder, tool, until } from "../harness.ts"
import { prove, type Pulled, randomOf, type Told } from "../records.ts"

const kills = Number(process.env["SLUICE_KILLS"] ?? 30)
const seed = Number(process.env["SLUICE_KILL_SEED"] ?? Math.floor(Math.random() * 2 ** 32))

// Everything that waits is answered: at the cap messages would end as dropped, which is another promise.
const configuration = "queue: { cap: 10000 }\nlimits: { sender: { perSecond: 10000, burst: 10000 } }\n"

/** Two stores side by side, each with its own gateway, so that both cores have work. */
const stores = 2
const conversations = ["ann", "bob", "cem", "dan", "eve", "fay", "gus", "hal", "ida", "jon"]
/** Those with a turn for each message; the others collect what waits into one. */
const oneByOne = new Set(["bob", "dan", "hal"])

/** Where the gateway is now; between two boots a client finds nobody there. */
interface Place {
  url: string
  token: string
  /** No more new messages. */
  over: boolean
  /** Acknowledgements so far. */
  acknowledged: number
}

/** A conversation as the people in it remember it. */
interface Memory {
  readonly name: string
  readonly told: Array<Told>
  readonly pulled: Array<Pulled>
  /** Acknowledgements whose first answer was lost on the way. */
  repeated: number
  readonly broken: Array<string>
}

const pause = (millis: number) => Effect.sleep(`${millis} millis`)

const ask = (place: Place, path: string, request?: Request) =>
  Effect.suspend(() =>
    place.url === ""
      ? Effect.fail(new Unanswered({ cause: "there is no gateway" }))
      : client(place.url, place.token).call(path, request)
  )

const messages = (name: string) => `/v1/conversations/${name}/messages`

/** One try to send. A refusal other than "not now" breaks a promise. */
const attempt = (place: Place, memory: Memory, id: string, text: string) =>
  ask(place, messages(memory.name), { body: { text }, key: id }).pipe(
    Effect.flatMap((answer): Effect.Effect<Answer, Unanswered> => {
      if (answer.status === 202) return Effect.succeed(answer)
      if (answer.status !== 503 && answer.status !== 429) {
        memory.broken.push(`C1: ${memory.name}/${id} was answered with ${answer.status} ${JSON.stringify(answer.body)}`)
      }
      return Effect.fail(new Unanswered({ cause: answer.body }))
    })
  )

/** Sends with one key until it is acknowledged. */
const insist = (place: Place, memory: Memory, id: string, text: string): Effect.Effect<Answer> =>
  attempt(place, memory, id, text).pipe(
    Effect.catch(() =>
      Effect.andThen(
        pause(15),
        Effect.suspend(() => insist(place, memory, id, text))
      )
    )
  )

/** The same message once more, from another client: the same number, and said to be a repeat. */
const again = Effect.fnUntraced(function* (place: Place, memory: Memory, { id, seq, text }: Told) {
  const { body } = yield* insist(place, memory, id, text)
  if (body.seq !== seq || body.duplicate !== true) {
    memory.broken.push(`C2: ${memory.name}/${id} was ${seq} and is ${body.seq}, duplicate: ${body.duplicate}`)
  }
})

/** Writes in bursts, so that messages arrive faster than turns end. */
const writer = Effect.fnUntraced(function* (place: Place, memory: Memory, random: () => number) {
  const { name, told } = memory
  const first = oneByOne.has(name) ? ["/queue followup"] : []
  for (let n = 0; !place.over || n === 0; n++) {
    const text = first[n] ?? (n % 3 === 0 ? `work 30ms ${name} ${n}` : `${name} ${n}`)
    const id = `${name}-${n}`
    const [{ body }, twin] = yield* Effect.all(
      [
        insist(place, memory, id, text),
        // Two retries in flight together now and then.
        random() < 0.1 ? insist(place, memory, id, text) : Effect.undefined
      ],
      { concurrency: 2 }
    )
    if (twin !== undefined && twin.body.seq !== body.seq) memory.broken.push(`C2: ${id} has two numbers`)
    if (twin === undefined && body.duplicate === true) memory.repeated++
    told.push({ id, text, seq: body.seq ?? 0 })
    place.acknowledged++
    if (random() < 0.05) yield* again(place, memory, told[Math.floor(random() * told.length)] as Told)
    if (n % 3 === 2) yield* pause(20 + random() * 60)
  }
})

/** Pulls from its own cursor on, whoever answers. */
const reader = Effect.fnUntraced(function* (place: Place, memory: Memory) {
  for (;;) {
    const after = memory.pulled.length
    const answer = yield* Effect.option(
      ask(place, `/v1/conversations/${memory.name}/replies?after=${after}&wait=5s&limit=1000`)
    )
    if (answer._tag === "Some" && answer.value.status === 200) memory.pulled.push(...(answer.value.body.replies ?? []))
    else yield* pause(15)
  }
})

type Moment = "load" | "boot" | "stop"

/** So many further messages are acknowledged: a slow machine is killed under the same load as a quick one. */
const acknowledged = (place: Place, more: number) =>
  Effect.suspend(() => {
    const goal = place.acknowledged + more
    return until(
      `${more} messages are acknowledged`,
      Effect.sync(() => place.acknowledged),
      (count) => count >= goal
    )
  })

/** A life of the gateway, which ends by kill -9 somewhere. False when it came to its own end before that. */
const life = Effect.fnUntraced(function* (folder: string, place: Place, moment: Moment, random: () => number) {
  const gateway = yield* launch({ folder, configuration })
  const [fate, haste] = [random(), random()]
  if (moment === "boot") yield* pause(fate * 400)
  else {
    const { token, url } = yield* running(gateway)
    Object.assign(place, { token, url })
    yield* acknowledged(place, Math.ceil(fate * 60))
    if (moment === "stop") yield* gateway.signal("SIGTERM")
    yield* pause(haste * (moment === "stop" ? 80 : 15))
  }
  yield* gateway.signal("SIGKILL")
  const { signal } = yield* gateway.exited
  place.url = ""
  return signal === "SIGKILL"
}, Effect.scoped)

const momentOf = (dice: number): Moment => (dice < 0.5 ? "load" : dice < 0.75 ? "boot" : "stop")

/** Everybody has what they are owed. */
const answered = (memories: ReadonlyArray<Memory>) =>
  memories.every(({ pulled, told }) => {
    const seen = new Set(pulled.flatMap(({ inReplyTo }) => inReplyTo))
    return told.every(({ id }) => seen.has(id))
  })

/** The last boot: nothing new comes, what is open is finished, and the records are compared. */
const settle = Effect.fnUntraced(function* (
  folder: string,
  place: Place,
  memories: ReadonlyArray<Memory>,
  writers: ReadonlyArray<Fiber.Fiber<void>>
) {
  const gateway = yield* start({ folder, configuration })
  Object.assign(place, { url: gateway.url, token: gateway.token, over: true })
  yield* Effect.orDie(gateway.client.call("/v1/admin/resume", { method: "POST" }))
  yield* Effect.forEach(writers, Fiber.join)
  yield* until(
    "all messages are answered",
    Effect.sync(() => answered(memories)),
    (all) => all
  ).pipe(Effect.exit)
  for (const memory of memories) {
    yield* Effect.forEach(memory.told, (told) => again(place, memory, told), { concurrency: 8 })
    const [last] = memory.told.slice(-1)
    const { status } = yield* Effect.orDie(
      gateway.client.call(messages(memory.name), { body: { text: "something else" }, key: last?.id ?? "" })
    )
    if (status !== 409) memory.broken.push(`C2: another body under a used key got ${status}`)
    const whole: Array<Pulled> = []
    for (let more = true; more;) {
      const page = yield* Effect.orDie(
        gateway.client.call(`/v1/conversations/${memory.name}/replies?after=${whole.length}&limit=1000`)
      )
      more = (page.body.replies ?? []).length > 0
      whole.push(...(page.body.replies ?? []))
    }
    assert.deepStrictEqual(memory.pulled, whole, `${memory.name}: what was pulled over all boots is what there is`)
  }
  const asked = yield* tool(folder, ["audit", "--json"])
  yield* gateway.signal("SIGTERM")
  assert.strictEqual((yield* gateway.exited).code, 0)
  const read = yield* tool(folder, ["audit", "--json"])
  const rows = store(gateway, "select count(*) as count from sluice_inbound")
  return { audits: [asked.json, read.json], rows: Number(rows[0]?.count), epoch: gateway.facts.epoch }
}, Effect.scoped)

/** One store through its kills. */
const history = (number: number, times: number) =>
  Effect.gen(function* () {
    const random = randomOf(seed + number)
    const folder = yield* temporaryFolder
    const place: Place = { url: "", token: "", over: false, acknowledged: 0 }
    const memories = conversations.map((name): Memory => ({ name, told: [], pulled: [], repeated: 0, broken: [] }))
    const writers = yield* Effect.forEach(memories, (memory) =>
      Effect.forkScoped(writer(place, memory, randomOf(seed + number + memory.name.length)))
    )
    yield* Effect.forEach(memories, (memory) => Effect.forkScoped(reader(place, memory)))
    const died = { load: 0, boot: 0, stop: 0 }
    while (died.load + died.boot + died.stop < times) {
      const moment = momentOf(random())
      if (yield* life(folder, place, moment, random)) died[moment]++
    }
    const { audits, epoch, rows } = yield* settle(folder, place, memories, writers)
    const proofs = memories.map(({ name, pulled, told }) => prove(name, told, pulled))
    return { audits, died, epoch, memories, proofs, rows }
  }).pipe(Effect.scoped)

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((all, one) => all + one, 0)

describe("kill -9", () => {
  it.live(
    `C1 C2 C3 C4 C5 C8 D1 D3 D4 D6 D23: at ${kills} random points, every acknowledged message is answered once and in order`,
    () =>
      Effect.gen(function* () {
        console.log(`SLUICE_KILL_SEED=${seed}`)
        const shares = Array.from({ length: stores }, (_, n) => Math.floor((kills + n) / stores))
        const began = now()
        const histories = yield* Effect.forEach(shares, (times, number) => history(number, times), {
          concurrency: stores
        })
        const proofs = histories.flatMap(({ proofs }) => proofs)
        const memories = histories.flatMap(({ memories }) => memories)
        const told = sum(memories.map(({ told }) => told.length))
        const figures = {
          kills: sum(histories.flatMap(({ died }) => Object.values(died))),
          ...Object.fromEntries(
            (["load", "boot", "stop"] as const).map((moment) => [
              moment,
              sum(histories.map(({ died }) => died[moment]))
            ])
          ),
          boots: sum(histories.map(({ epoch }) => epoch)),
          acknowledged: told,
          acknowledgedAtARetry: sum(memories.map(({ repeated }) => repeated)),
          answered: sum(proofs.map(({ answered }) => answered)),
          turns: sum(proofs.map(({ turns }) => turns)),
          setAside: sum(proofs.map(({ setAside }) => setAside)),
          lost: sum(proofs.map(({ lost }) => lost)),
          duplicated: sum(proofs.map(({ duplicated }) => duplicated)),
          seconds: Math.round((now() - began) / 1000)
        }
        console.log(JSON.stringify(figures))
        const broken = [...proofs.flatMap(({ broken }) => broken), ...memories.flatMap(({ broken }) => broken)]
        assert.deepStrictEqual(broken, [], `SLUICE_KILL_SEED=${seed}`)
        assert.strictEqual(figures.kills, kills)
        for (const { audits, memories, rows } of histories) {
          const accepted = sum(memories.map(({ told }) => told.length))
          assert.strictEqual(rows, accepted)
          for (const audit of audits) assert.deepInclude(audit, { accepted, open: 0, balanced: true })
        }
      }),
    300_000
  )
})
