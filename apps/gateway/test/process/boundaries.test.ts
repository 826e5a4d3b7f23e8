// D4 with a real process: kill -9 before and after every labelled boundary, the first time that it is crossed (the
// torture's level 1 has the later ones, and those inside of a transaction, which leave the disk as it was), in the middle
// of everything that people do with a gateway. The next boot has to put it right, as seen from outside: by the clients'
// own records, by a second connection to the store, by the other side of each channel, by the ledger. A world has up to
// four gateways that die, each at a label of its own. `SLUICE_BOUNDARY=before:settle` runs the crashes of one label only.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"
import { boundaries, type Label } from "../../../../packages/runtime/src/internal/boundary.ts"
import { launch, now, type Process, running, store, temporaryFolder, tool } from "../harness.ts"
import {
  everything,
  type Memory,
  newRecords,
  nothingOpen,
  type Place,
  preparing,
  proveAll,
  type Records
} from "../scenario.ts"

const only = process.env["SLUICE_BOUNDARY"]

/** How many gateways die at the same time. */
const beside = 3

const configuration = [
  "queue: { cap: 2 }",
  "drain: { timeout: 10 seconds }",
  "limits: { sender: { perSecond: 10000, burst: 10000 } }",
  ""
].join("\n")

const source = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** The program that crashes, bundled as the shipped one is, so that a hundred boots are quick. */
const bundled = Effect.flatMap(temporaryFolder, (folder) =>
  Effect.promise(async () => {
    const write = async (path: string, format: "esm" | "cjs", extension: string) => {
      const bundle = await rolldown({ input: source(path), platform: "node", tsconfig: false })
      await bundle.write({ dir: folder, format, entryFileNames: `[name].${extension}`, chunkFileNames: "[name].js" })
      await bundle.close()
    }
    await write("src/watchdog/watchdogWorker.ts", "cjs", "cjs")
    await write("test/programs/crashing.ts", "esm", "js")
    return join(folder, "crashing.js")
  })
)

/** A store in the middle of its life. */
interface World {
  readonly folder: string
  readonly place: Place
  readonly records: Records
}

const worldIn = (folder: string, records: Records): World => {
  const far = join(folder, "far")
  mkdirSync(far, { recursive: true })
  return { folder, records, place: { url: "", token: "", stateDirectory: join(folder, ".sluice"), far } }
}

const boot = (program: string, { folder, place }: World, grave?: Label) =>
  launch({
    program,
    folder,
    configuration,
    environment: {
      CRASHING_FAR: place.far,
      // Written by the first one that ends by itself; those that are killed only read it.
      NODE_COMPILE_CACHE: join(dirname(program), "compiled"),
      CRASHING_CROSSED: join(folder, "crossed"),
      ...(grave === undefined ? {} : { CRASHING_LABEL: grave })
    }
  })

/** Tells everybody where the gateway is; does nothing for one that died before it was ready. */
const arrive = (gateway: Process, place: Place) =>
  Effect.flatMap(Effect.exit(running(gateway)), (exit) => {
    if (Exit.isFailure(exit)) return Effect.void
    Object.assign(place, { url: exit.value.url, token: exit.value.token })
    // The third unclean boot in a row waits for an operator before it carries on with what was cut off.
    return Effect.ignore(exit.value.client.call("/v1/admin/resume", { method: "POST" }))
  })

/** A store whose gateway was killed in the middle of a turn; every crash starts from a copy of it. */
const prepared = Effect.fnUntraced(function* (program: string) {
  const world = worldIn(yield* temporaryFolder, newRecords())
  yield* Effect.scoped(
    Effect.gen(function* () {
      const gateway = yield* boot(program, world)
      yield* arrive(gateway, world.place)
      yield* preparing(world.place, world.records)
      yield* gateway.signal("SIGKILL")
      yield* gateway.exited
    })
  )
  return world
})

const copyOf = (before: World) =>
  Effect.map(temporaryFolder, (folder) => {
    cpSync(before.place.stateDirectory, join(folder, ".sluice"), { recursive: true })
    const memories = [...before.records.memories].map(
      ([name, { posts, told }]) => [name, { posts: [...posts], told: [...told] }] satisfies [string, Memory]
    )
    return worldIn(folder, { ...newRecords(), memories: new Map(memories) })
  })

const crossings = ({ folder }: World): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  const file = join(folder, "crossed")
  for (const label of existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : []) {
    counts.set(label, (counts.get(label) ?? 0) + 1)
  }
  return counts
}

const named = (graves: ReadonlyArray<Label>) => (graves.length === 0 ? "no crash" : graves.join(", then "))

/** What is open on the disk of a world in which not everything came to its end. */
const openIn = ({ place }: World) => [
  ...store(place, "select seq, id, ending, turn, command from sluice_inbound where ending is null"),
  ...store(place, "select id, session, state, attempt, crashes from sluice_turns where ended_at is null"),
  ...store(place, "select id, conversation, state, number, text from sluice_replies where ended_at is null")
]

/** The life of a gateway that dies at its grave, if it comes there. Whether it did. */
const mortal = Effect.fnUntraced(function* (
  program: string,
  world: World,
  doing: Fiber.Fiber<void>,
  grave: Label | undefined
) {
  const { place } = world
  const gateway = yield* boot(program, world, grave)
  yield* arrive(gateway, place).pipe(
    Effect.andThen(Fiber.join(doing)),
    Effect.andThen(gateway.signal("SIGTERM")),
    Effect.forkScoped
  )
  const { code, signal } = yield* gateway.exited
  place.url = ""
  const died = signal === "SIGKILL"
  if (!died) assert.strictEqual(code, 0, gateway.output().err.join("\n"))
  return died
}, Effect.scoped)

/** The lives of gateways that die at their graves one after the other, and the life after them. */
const lived = Effect.fnUntraced(function* (program: string, world: World, graves: ReadonlyArray<Label>) {
  const { place, records } = world
  const doing = yield* Effect.forkScoped(everything(place, records))
  const died: Array<Label> = []
  for (const grave of graves.length === 0 ? [undefined] : graves) {
    if ((yield* mortal(program, world, doing, grave)) && grave !== undefined) died.push(grave)
  }
  const counts = crossings(world)
  const next = yield* boot(program, world)
  yield* arrive(next, place)
  yield* Fiber.join(doing)
  yield* nothingOpen(place)
  const broken = yield* proveAll(place, records, died.length)
  yield* next.signal("SIGTERM")
  const end = yield* next.exited
  const audit = yield* tool(world.folder, ["audit", "--json"])
  const { accepted, balanced, open } = audit.json as Readonly<Record<string, number | boolean>>
  if (end.code !== 0 || balanced !== true || open !== 0) {
    broken.push(`C8: exit ${end.code}, ledger ${JSON.stringify(audit.json)}`)
  }
  return { died, counts, accepted: Number(accepted), broken }
})

const lives = (program: string, before: World, ...graves: ReadonlyArray<Label>) =>
  Effect.gen(function* () {
    const world = yield* copyOf(before)
    const { records } = world
    const life = yield* lived(program, world, graves).pipe(
      Effect.timeoutOrElse({
        duration: "90 seconds",
        orElse: () =>
          Effect.sync(() => {
            const undone = `C8: no end of ${[...records.open].join(", ")}: ${JSON.stringify(openIn(world))}`
            return { died: graves, counts: crossings(world), accepted: 0, broken: [undone] }
          })
      })
    )
    const broken = life.broken.map((one) => `${named(graves)}: ${one}`)
    if (broken.length > 0) console.log(broken.join("\n"))
    const missed = graves.filter((grave) => !life.died.includes(grave))
    return { ...life, broken, missed, seen: records.seen }
  }).pipe(Effect.scoped)

/**
 * Each label that was crossed, in worlds with a death that every boot comes to, two that something comes to while people
 * do what they do, and one that every stop comes to.
 */
const gravesOf = (counts: ReadonlyMap<string, number>): ReadonlyArray<ReadonlyArray<Label>> => {
  const known = boundaries.filter((label) => counts.has(label))
  if (only !== undefined) return known.filter((label) => label === only).map((label) => [label])
  const outside = known.filter((label) => !label.startsWith("inside:"))
  const boots = outside.filter((label) => /^boot:|:open$/.test(label))
  const stops = outside.filter((label) => /^stop:|:(premark|report)$/.test(label))
  const others = outside.filter((label) => !boots.includes(label) && !stops.includes(label))
  const worlds = Math.max(boots.length, stops.length, Math.ceil(others.length / 2))
  return Array.from({ length: worlds }, (_, index) =>
    [boots[index], others[index], others[index + worlds], stops[index]].filter((label) => label !== undefined)
  )
}

describe("a crash at every boundary", () => {
  it.live(
    "D4 D7 D9 D21 W2: whichever durable step the process dies at, nothing is lost, nothing is doubled, and the ledger balances",
    () =>
      Effect.gen(function* () {
        const began = now()
        const program = yield* bundled
        const before = yield* prepared(program)
        const whole = yield* lives(program, before)
        assert.deepStrictEqual(whole.broken, [])
        assert.deepStrictEqual(
          boundaries.filter((label) => !whole.counts.has(label)),
          [],
          "boundaries that nothing comes to"
        )
        const graves = gravesOf(whole.counts)
        const all = (worlds: ReadonlyArray<ReadonlyArray<Label>>) =>
          Effect.forEach(worlds, (each) => lives(program, before, ...each), { concurrency: beside })
        const together = yield* all(graves)
        // An earlier death may have ended what would have come there: then it has a world of its own.
        const alone = yield* all(together.flatMap(({ missed }) => missed.map((label) => [label])))
        const found = [...together, ...alone]
        const died = new Set(found.flatMap(({ died }) => died))
        console.log(
          JSON.stringify({
            boundaries: boundaries.length,
            crashes: found.reduce((sum, { died }) => sum + died.length, 0),
            alone: alone.length,
            accepted: found.reduce((sum, { accepted }) => sum + accepted, 0),
            comparedWithTheDisk: found.reduce((sum, { seen }) => sum + seen, 0),
            seconds: Math.round((now() - began) / 1000)
          })
        )
        assert.deepStrictEqual(
          found.flatMap(({ broken }) => broken),
          []
        )
        assert.deepStrictEqual(
          graves.flat().filter((label) => !died.has(label)),
          [],
          "boundaries that it was to die at and did not"
        )
      }).pipe(Effect.scoped),
    900_000
  )
})
