// What Sluice says to people: no jargon, nobody else's control characters, right plurals, lengths of time in words,
// references that an operator can look up; and a catalogue that a host replaces in part.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Notices from "../src/Notices.ts"

const speaker = Notices.make()
const ids = Object.keys(Notices.sentences) as ReadonlyArray<Notices.NoticeId>

/** Values for any sentence, by the name of the value. */
const samples: Readonly<Record<string, unknown>> = {
  words: "water the plants",
  restarts: false,
  canBegin: true,
  now: "on",
  tool: "sending the mail",
  doing: "running tests",
  name: "work",
  names: "main, work",
  model: "large",
  models: "small, large",
  sender: "kim",
  where: "chat/kim",
  channel: "telegram",
  mode: "collect",
  modes: "collect, steer",
  command: "/foo",
  value: "900",
  allowed: "1 to 120",
  question: "Delete it?",
  option: "yes",
  period: "day",
  resumesIn: 3_600_000,
  resumesAt: "2026-11-22 00:00",
  options: "[yes] [no]",
  ref: "4h2k",
  size: "12 KiB",
  age: 7_200_000,
  elapsed: 120_000,
  persona: "planner",
  wait: 30_000,
  agent: "coder",
  idle: 900_000,
  timeout: 600_000,
  number: 2
}

const valuesOf = (id: Notices.NoticeId, over: (name: string, value: unknown) => unknown = (_, value) => value) =>
  Object.fromEntries(
    Object.keys(Notices.sentences[id].values.fields).map((name) => [name, over(name, samples[name] ?? 3)])
  )

const say = (id: Notices.NoticeId, values: object) => speaker.say<Notices.NoticeId>(id, values)

describe("the sentences", () => {
  it("no sentence to a person speaks of sessions, turns or the gateway", () => {
    for (const id of ids) {
      const said = say(id, valuesOf(id))
      assert.isAbove(said.text.length, 0, id)
      // "Resuming session (idle for 15 min)..." is worded by the contract (Q12).
      if (said.audience === "operator" || id === "resuming") continue
      // What a person types is called what it is called.
      const text = [said.text, ...said.options].join(" ").replaceAll("/session ", "")
      assert.notMatch(text, /\b(session|turn|gateway|sluice|journal)s?\b/i, id)
    }
  })

  it("each has the words that the contract gives it", () => {
    assert.strictEqual(speaker.say("waiting", {}).text, "Got it. I'll get to this right after what I'm doing now.")
    assert.strictEqual(
      speaker.say("goingDown", { restarts: true }).text,
      "I'm restarting. Your messages are safe, no need to send anything again."
    )
    assert.strictEqual(
      speaker.say("back", { words: "book the flight" }).text,
      `I'm back and carrying on with "book the flight".`
    )
    assert.deepInclude(speaker.say("cutOff", { tool: "paying the bill" }), {
      text: "I was cut off while paying the bill and can't tell whether it went through.",
      options: ["Check first", "Do it again: /retry", "Leave it"]
    })
    assert.strictEqual(
      speaker.say("setAside", { words: "do it", count: 3, ref: "4h2k" }).text,
      `"do it" failed 3 times, so I've set it aside. Everything else works; /retry tries again. (4h2k)`
    )
    assert.strictEqual(
      speaker.say("tooMany", { kept: 20, summarized: 3 }).text,
      "A lot came in while I was busy. I kept the newest 20 and a summary of the 3 before."
    )
    assert.strictEqual(
      speaker.say("late", { age: 7_200_000 }).text,
      "(Sorry for the delay. This is about your message from 2 hours ago.)"
    )
    assert.strictEqual(
      speaker.say("maybeTwice", {}).text,
      "(You may have seen this before: the connection dropped while I was sending it.)"
    )
    assert.deepInclude(speaker.say("historyGone", {}), {
      text: "I can't find our earlier conversation.",
      options: ["Try again: /retry", "Start fresh: /new"]
    })
    assert.strictEqual(
      speaker.say("slow", { doing: "running tests", elapsed: 120_000 }).text,
      "Still on it: running tests, 2 min so far. /stop cancels."
    )
    assert.strictEqual(
      speaker.say("budget", { period: "month", resumesIn: 7_200_000, resumesAt: "2026-12-01 00:00" }).text,
      "I've used up what I may spend this month. Your message is kept, and I carry on at 2026-12-01 00:00 (in 2 hours)."
    )
    assert.strictEqual(speaker.say("resuming", { idle: 900_000 }).text, "Resuming session (idle for 15 min)...")
  })

  it("one of a thing is not spoken of as several", () => {
    assert.include(speaker.say("setAside", { words: "x", count: 1, ref: "4h2k" }).text, "failed 1 time,")
    assert.include(speaker.say("tooMany", { kept: 20, summarized: 1 }).text, "a summary of the one before")
    assert.include(speaker.say("stopped", { waiting: 1 }).text, "1 message that waited is cancelled")
    assert.include(speaker.say("stopped", { waiting: 2 }).text, "2 messages that waited are cancelled")
    assert.strictEqual(speaker.say("stopped", { waiting: 0 }).text, "Stopped.")
  })

  it("what expires and what is capped says so, and answers about work never expire", () => {
    assert.deepInclude(speaker.say("goingDown", { restarts: true }), {
      audience: "chat",
      cap: { count: 1, within: 600_000 }
    })
    for (const id of ["setAside", "letGo", "cutOff", "late", "maybeTwice", "rejected"] as const) {
      assert.isUndefined(say(id, valuesOf(id)).expiresAfter, id)
    }
  })

  it.effect.prop(
    "W4: whatever people wrote comes out as one short line without control or bidi characters",
    [Schema.String],
    ([text]) =>
      Effect.sync(() => {
        const hostile = `\u001b[31m${text}\u202egnp.exe\u0007\n\u2066\u{e0041}${text}\ud800`
        for (const id of ids) {
          const said = say(
            id,
            valuesOf(id, (name, value) => (typeof value === "string" && name !== "ref" ? hostile : value))
          )
          const whole = [said.text, ...said.options].join(" ")
          // oxlint-disable-next-line no-control-regex
          assert.notMatch(whole, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufeff]/u, id)
          assert.isTrue(whole.isWellFormed(), id)
          assert.isBelow(whole.length, 4_300, id)
        }
      })
  )

  it("Q19: a person sees all of a long command before allowing it, and where one is longer that something is missing", () => {
    const said = (question: string) =>
      speaker.say("permission", { number: 3, question, options: "1. Allow\n2. Deny" }).text
    const command = `Bash: ${"echo one; ".repeat(180)}rm -r work`
    assert.strictEqual(said(command), `${command}\n1. Allow\n2. Deny\n(/allow 3 and your choice)`)
    assert.match(said(command + command), /…\n1\. Allow\n2\. Deny\n/)
  })

  it("a refused value comes with all that are possible", () => {
    const allowed = Array.from({ length: 20 }, (_, n) => `model-${n}`).join(", ")
    assert.include(speaker.say("notPossible", { value: "x", allowed }).text, `Possible: ${allowed}.`)
  })

  it("first words are cut between words and marked", () => {
    const words = "please compare the three offers that came in by mail yesterday evening"
    assert.strictEqual(
      speaker.say("letGo", { words }).text,
      `I was cut off while working on "please compare the three offers that came in by…" and let it go. ` +
        "Send it again if you still need it."
    )
    assert.include(speaker.say("letGo", { words: `${"a".repeat(46)}😀😀😀` }).text, `"${"a".repeat(46)}…"`)
  })

  it("a value that is not what the sentence needs is a programmer's error", () => {
    assert.throws(() => speaker.say("tooMany", { kept: -1, summarized: 3 }))
    assert.throws(() => speaker.say("setAside", { words: "x", count: 3, ref: "Error: ECONNREFUSED 10.0.0.7" }))
  })

  it.effect("a host words a sentence in its own way, and the others stay as they are", () =>
    Effect.gen(function* () {
      const notices = yield* Notices.Notices
      assert.strictEqual(
        notices.say("late", { age: 3 * 86_400_000 }).text,
        "(Entschuldigung, das hat 3 Tage gedauert.)"
      )
      assert.strictEqual(notices.say("back", { words: "" }).text, "I'm back.")
    }).pipe(
      Effect.provideService(
        Notices.Notices,
        Notices.make({
          late: ({ age }) => `(Entschuldigung, das hat ${Math.floor(age / 86_400_000)} Tage gedauert.)`
        })
      )
    )
  )
})

describe("lengths of time", () => {
  it("are said in words, rounded down", () => {
    const minute = 60_000
    const cases: ReadonlyArray<readonly [number, string]> = [
      [-5, "0 s"],
      [59_999, "59 s"],
      [minute, "1 min"],
      [15 * minute + 59_000, "15 min"],
      [60 * minute, "1 hour"],
      [120 * minute, "2 hours"],
      [47 * 60 * minute, "47 hours"],
      [48 * 60 * minute, "2 days"],
      [400 * 1440 * minute, "400 days"]
    ]
    for (const [millis, words] of cases) assert.strictEqual(Notices.span(millis), words)
    assert.strictEqual(Notices.ago(10_000), "just now")
    assert.strictEqual(Notices.ago(5 * minute), "5 min ago")
  })
})

describe("references", () => {
  it.effect.prop(
    "an operator finds the number again that a person was given four characters for",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 40 }))],
    ([number]) =>
      Effect.sync(() => {
        const reference = Notices.reference(number)
        assert.match(reference, /^[0-9a-z]{4}$/)
        assert.strictEqual(Notices.referenced(reference), number % 2 ** 20)
        assert.strictEqual(Notices.referenced(reference.toUpperCase()), number % 2 ** 20)
      })
  )

  it("neighbours don't look alike, and none of the first 100,000 is given twice", () => {
    const given = new Set(Array.from({ length: 100_000 }, (_, number) => Notices.reference(number)))
    assert.strictEqual(given.size, 100_000)
    assert.notStrictEqual(Notices.reference(7).slice(0, 2), Notices.reference(8).slice(0, 2))
    assert.isUndefined(Notices.referenced("il01"))
    assert.isUndefined(Notices.referenced("abc"))
  })
})
