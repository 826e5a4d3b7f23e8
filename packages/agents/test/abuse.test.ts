// Programs that misuse the protocol: each ends in bound, in bounded memory, and no other session notices.
import { assert, describe, it } from "@effect/vitest"
import type { Turn } from "@sluice/runtime/Message"
import { answerText, sessionOf, turnOf } from "@sluice/runtime/testing/agentConformance"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Children from "../src/Children.ts"
import * as Command from "../src/Command.ts"
import { lives, node, unique } from "./processes.ts"

const grace = { ask: "50 millis", term: "300 millis", kill: "2 seconds" } as const

const open = (options: Command.Options, instance: string, id = 1) =>
  Command.make({ grace, ...options }).open(sessionOf({ instance, id }))

const sh = (script: string): Command.Options => ({ argv: ["/bin/sh", "-c", script] })

const answer = Effect.fnUntraced(function* (options: Command.Options, turn: Turn = turnOf(["hello"])) {
  const instance = unique("abuse")
  const agent = yield* open(options, instance)
  const text = answerText(yield* Stream.runCollect(agent.answer(turn)))
  assert.deepStrictEqual(yield* Children.running(instance), [])
  return text
}, Effect.scoped)

const big = turnOf(["x".repeat(262_144)])

describe("a program that", () => {
  it.live("never reads its input is answered for by what it prints", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* answer(sh("echo fine; sleep 0.1"), big), "fine")
    })
  )

  it.live("ends or closes its input before reading it is no error", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* answer(sh("exec <&-; echo fine"), big), "fine")
      for (let n = 0; n < 10; n++) assert.strictEqual(yield* answer(sh("echo fine"), big), "fine")
    })
  )

  it.live("prints 100 MB has its answer cut at the limit, in bounded memory, and is stopped", () =>
    Effect.gen(function* () {
      const before = process.resourceUsage().maxRSS
      const script = `const x = Buffer.alloc(1e6, "x"); let n = 0
        const go = () => { while (n++ < 100) if (!process.stdout.write(x)) return process.stdout.once("drain", go) }; go()`
      const text = yield* answer({ argv: [node, "-e", script] })
      assert.strictEqual(text, "x".repeat(1_048_576) + Command.defaultCutMark)
      assert.isBelow((process.resourceUsage().maxRSS - before) / 1024, 60)
    })
  )

  it.live("prints exactly as much as is allowed is not cut, and one byte more is", () =>
    Effect.gen(function* () {
      const options = { ...sh("head -c 1000 /dev/zero | tr '\\0' x"), cutMark: "..." }
      assert.strictEqual(yield* answer({ ...options, maxAnswer: 1000 }), "x".repeat(1000))
      assert.strictEqual(yield* answer({ ...options, maxAnswer: 999 }), `${"x".repeat(999)}...`)
      assert.strictEqual(yield* answer({ ...sh("printf 'a\\303\\274'"), maxAnswer: 2, cutMark: "..." }), "a...")
    })
  )

  it.live("prints 100 MB on standard error only is neither stopped nor kept", () =>
    Effect.gen(function* () {
      const before = process.resourceUsage().maxRSS
      assert.strictEqual(yield* answer(sh("head -c 100000000 /dev/zero >&2; echo done")), "done")
      assert.isBelow((process.resourceUsage().maxRSS - before) / 1024, 60)
    })
  )

  it.live("prints nothing but line feeds costs linear time", () =>
    Effect.gen(function* () {
      const text = yield* answer(sh("yes '' | head -c 900000; echo end"))
      assert.strictEqual(text.length, 900_003)
    })
  )

  it.live("is a daemon that holds its output open is ended with its turn, and the answer is what was printed", () =>
    Effect.gen(function* () {
      const script = "setsid sh -c 'echo $$; exec sleep 300' & read line; echo answer; exit 0"
      const text = yield* answer(sh(script))
      const daemon = Number(/^\d+$/m.exec(text)?.[0])
      assert.isFalse(lives(daemon))
      assert.deepStrictEqual(text.split("\n").sort(), [String(daemon), "answer"].sort())
    })
  )

  it.live("leaves a child that still writes the answer is waited for", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* answer(sh("(sleep 0.1; echo late) & echo now")), "now\nlate")
    })
  )

  it.live("closes its output and goes on is waited for", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* answer(sh("echo answer; exec >&- 2>&-; sleep 0.1; exit 0")), "answer")
    })
  )

  it.live("Q18: hangs, floods or fails disturbs no other session", () =>
    Effect.gen(function* () {
      const instance = unique("neighbours")
      const bad = ["sleep 300", "yes", "exit 1", "kill -KILL $$", "echo x >&2; cat; sleep 300"]
      const stuck = yield* Effect.forEach(bad, (script, index) =>
        Effect.gen(function* () {
          const agent = yield* open({ ...sh(script), maxAnswer: 1e9 }, instance, index + 10)
          return yield* Effect.forkChild(Effect.exit(Stream.runDrain(agent.answer(turnOf(["go"])))), {
            startImmediately: true
          })
        })
      )
      const good = yield* open(sh("cat >/dev/null; echo fine"), instance, 1)
      for (let n = 0; n < 5; n++) {
        const text = answerText(yield* Stream.runCollect(good.answer(turnOf(["go"], { id: `t${n}` }))))
        assert.strictEqual(text, "fine")
      }
      yield* Fiber.interruptAll(stuck)
      assert.deepStrictEqual(yield* Children.running(instance), [])
    }).pipe(Effect.scoped)
  )
})
