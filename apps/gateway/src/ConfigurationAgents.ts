/**
 * The agents of the configuration, a Schema for each kind. What a kind needs at
 * run time is loaded by Agents.ts, and only when a configuration names it.
 */
import * as Schema from "effect/Schema"
import * as Setting from "./Setting.ts"

const common = {
  stallTimeout: Schema.optionalKey(
    Setting.duration("1 second", "24 hours", {
      meaning: "A running turn that shows no sign of life for this long has failed."
    })
  ),
  turnTimeout: Schema.optionalKey(
    Setting.duration("1 second", "24 hours", { meaning: "A turn that takes longer than this has failed." })
  )
}

const isVariable = (name: string) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !name.startsWith("SLUICE_")
const Variable = Schema.String.check(Schema.makeFilter(isVariable))

const policies = ["resume", "restart", "ask", "drop-with-notice"] as const

/** The built-in agent: needs nothing, echoes, and does what its directives say. */
const Demo = Schema.Struct({
  kind: Setting.tag("demo", { meaning: "The built-in agent: answers with what it got; `work 2s` takes two seconds." }),
  ...common
})

/** Any program: one process per turn, a JSON document on its standard input, the answer on its standard output. */
const Command = Schema.Struct({
  kind: Setting.tag("command", { meaning: "Any program: a turn as JSON on its stdin, the answer on its stdout." }),
  argv: Setting.list({
    meaning: "Program and arguments. No shell, and no user text ever.",
    expected: 'a list with the program and its arguments, such as ["node", "answer.mjs"]',
    least: 1
  }),
  cwd: Schema.optionalKey(Setting.path({ meaning: "Working folder; the configuration file's unless set." })),
  environment: Schema.optionalKey(
    Setting.list({
      meaning:
        "Names of variables that are passed on, beside PATH, HOME, LANG, TZ and the like. Never the gateway's token.",
      expected: 'a list of variable names such as "HTTPS_PROXY", without the gateway\'s own (SLUICE_...)',
      test: isVariable
    })
  ),
  variables: Schema.optionalKey(
    Schema.Record(Variable, Setting.text({ meaning: "A variable with a fixed value. No place for secrets." }))
  ),
  secrets: Schema.optionalKey(
    Schema.Record(
      Variable,
      Setting.path({
        meaning:
          "A variable whose value is the content of this file, which others must not be able to read. Read again on a reload."
      })
    )
  ),
  maxAnswer: Schema.optionalKey(
    Setting.size(1024, 1024 ** 2, {
      meaning: "The longest answer, 1 MiB unless set; there it is cut and says so."
    })
  ),
  resume: Schema.optionalKey(
    Setting.choice(policies, { meaning: "What happens to a turn that was cut off: `restart` unless set." })
  ),
  ...common
})

/** An agent, by its kind. */
export const Agent = Schema.Union([Demo, Command])
/** An agent, by its kind. */
export type Agent = typeof Agent.Type

