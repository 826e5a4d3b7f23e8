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

/** What every program that the gateway runs is given. */
export const program = {
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
  nice: Schema.optionalKey(
    Setting.integer(0, 19, {
      meaning:
        "How far its priority is below the gateway's, 5 unless set: what it does after an answer does not hold that answer up. 0 is the same."
    })
  )
}

/** Any program: one process per turn, a JSON document on its standard input, the answer on its standard output. */
const Command = Schema.Struct({
  kind: Setting.tag("command", { meaning: "Any program: a turn as JSON on its stdin, the answer on its stdout." }),
  argv: Setting.list({
    meaning: "Program and arguments. No shell, and no user text ever.",
    expected: 'a list with the program and its arguments, such as ["node", "answer.mjs"]',
    least: 1
  }),
  ...program,
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

const McpServer = Schema.Struct({
  argv: Schema.optionalKey(
    Setting.list({
      meaning: "Program and arguments of a server of the Model Context Protocol that the agent starts.",
      expected: 'a list with the program and its arguments, such as ["npx", "-y", "some-server"]',
      least: 1
    })
  ),
  url: Schema.optionalKey(Setting.text({ meaning: "Address of such a server that runs already. Instead of argv." })),
  variables: Schema.optionalKey(
    Schema.Record(Variable, Setting.text({ meaning: "A variable that the server's program is started with." }))
  )
})

/** Of agents that ask before they do something. */
const permissions = Schema.optionalKey(
  Setting.choice(["ask", "allow", "deny"], {
    meaning: "Who decides when it asks for permission: a person (`ask`, unless set), or always the same way."
  })
)

/** Any agent that speaks the Agent Client Protocol: one process for each live session. */
const Acp = Schema.Struct({
  kind: Setting.tag("acp", { meaning: "Any agent that speaks the Agent Client Protocol, kept warm between turns." }),
  argv: Setting.list({
    meaning: "Program and arguments, with the one that makes it speak ACP. No shell, and no user text ever.",
    expected: 'a list with the program and its arguments, such as ["gemini", "--acp"]',
    least: 1
  }),
  ...program,
  mode: Schema.optionalKey(
    Setting.text({ meaning: "The mode that its sessions run in, by id or name; the agent's own unless set." })
  ),
  model: Schema.optionalKey(
    Setting.text({ meaning: "The model, by id or name, unless a person chose one; the agent's own unless set." })
  ),
  permissions,
  authMethod: Schema.optionalKey(
    Setting.text({
      meaning: "The login that it is asked to use, by its id; most agents are logged in by hand or by a variable."
    })
  ),
  initTimeout: Schema.optionalKey(
    Setting.duration("1 second", "10 minutes", {
      meaning: "How long it may take until its session is open, 60 seconds unless set."
    })
  ),
  mcpServers: Schema.optionalKey(Schema.Record(Schema.String, McpServer)),
  resume: Schema.optionalKey(
    Setting.choice(policies, { meaning: "What happens to a turn that was cut off: `resume` unless set." })
  ),
  ...common
})

const tools = 'such as "Read" or "Bash(git *)"'

/** The Claude Code CLI: one process for each live session. */
const ClaudeCode = Schema.Struct({
  kind: Setting.tag("claude-code", { meaning: "The Claude Code CLI, kept warm between turns." }),
  argv: Schema.optionalKey(
    Setting.list({
      meaning: "The program, and arguments that come before all others; `claude` on PATH unless set.",
      expected: 'a list with the program and its arguments, such as ["/opt/claude/bin/claude"]',
      least: 1
    })
  ),
  ...program,
  configFolder: Schema.optionalKey(
    Setting.path({
      meaning:
        "Where it keeps its settings, its login and its conversations: `claude` in the state directory unless set, so that a person's own settings stay out of it."
    })
  ),
  model: Schema.optionalKey(
    Setting.text({ meaning: "The model, unless a person chose one; the CLI's own unless set." })
  ),
  permissionMode: Schema.optionalKey(
    Setting.text({ meaning: "Its permission mode, such as `acceptEdits` or `plan`; the CLI's own unless set." })
  ),
  permissions,
  allowedTools: Schema.optionalKey(
    Setting.list({ meaning: "Rules of tools that need no permission.", expected: `a list of rules ${tools}` })
  ),
  disallowedTools: Schema.optionalKey(
    Setting.list({
      meaning: "Rules of tools that it does not have, beside those that reach into other sessions.",
      expected: `a list of rules ${tools}`
    })
  ),
  extraArguments: Schema.optionalKey(
    Setting.list({
      meaning: "Further arguments for the CLI.",
      expected: 'a list of arguments, such as ["--mcp-config", "mcp.json"]'
    })
  ),
  retries: Schema.optionalKey(
    Setting.integer(0, 20, {
      meaning: "How often it asks the model again before a turn has failed: 3 times unless set."
    })
  ),
  initTimeout: Schema.optionalKey(
    Setting.duration("1 second", "10 minutes", {
      meaning: "How long it may take until it is ready, 60 seconds unless set."
    })
  ),
  awaitOrphan: Schema.optionalKey(
    Setting.duration("0 millis", "24 hours", {
      meaning:
        "How long a process that outlived a crash of the gateway may take to finish its turn, 5 minutes unless set. Its answer is then delivered, not asked for again."
    })
  ),
  resume: Schema.optionalKey(
    Setting.choice(policies, { meaning: "What happens to a turn that was cut off: `resume` unless set." })
  ),
  ...common
})

/** An address of a server, without a name, a password or a query in it. */
export const isAddress = (value: string): boolean => {
  if (!URL.canParse(value)) return false
  const { password, protocol, search, username } = new URL(value)
  return /^https?:$/.test(protocol) && username === "" && password === "" && search === ""
}

/** The key of a server, for agents and for pools. */
export const keyOfServer = {
  keyFile: Schema.optionalKey(
    Setting.path({
      meaning:
        "File with the key, which others must not be able to read. Read again on a reload. Not every server wants one."
    })
  ),
  keyVariable: Schema.optionalKey(
    Setting.text({
      meaning: "Name of the variable that holds the key, where it is not in a file.",
      expected: 'the name of a variable, such as "OPENAI_API_KEY"',
      test: (name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
    })
  )
}

/** A chat model over HTTP or over a pool: history from the journal, one call for each turn. */
const Model = Schema.Struct({
  kind: Setting.tag("model", {
    meaning: "A chat model: over HTTP, on this machine or at a provider, or in a pool of this gateway."
  }),
  pool: Schema.optionalKey(
    Setting.text({
      meaning:
        "A pool of this gateway, by its name or that of one of its models, instead of `url` and `model`. It has its own servers, keys and stall timeout."
    })
  ),
  api: Schema.optionalKey(
    Setting.choice(["openai", "anthropic"], {
      meaning:
        "How it is spoken with: OpenAI's chat completions (Ollama, llama.cpp, vLLM and most others), or Anthropic's messages. `openai` unless set."
    })
  ),
  url: Schema.optionalKey(
    Setting.text({
      meaning: "Address of its server.",
      expected: 'an address without a key in it, such as "http://localhost:11434" or "https://api.openai.com/v1"',
      test: isAddress
    })
  ),
  model: Schema.optionalKey(Setting.text({ meaning: "Its name at the server." })),
  ...keyOfServer,
  systemPrompt: Schema.optionalKey(
    Setting.text({ meaning: "What it is told about itself when its persona says nothing.", most: 65_536 })
  ),
  maxTokens: Schema.optionalKey(
    Setting.integer(1, 1_000_000, {
      meaning: "The longest answer in tokens, reasoning included; 4096 unless set. There it is cut and says so."
    })
  ),
  contextTokens: Schema.optionalKey(
    Setting.integer(512, 10_000_000, {
      meaning:
        "How many tokens a prompt and its answer may have together: 16384 for `openai`, 100000 for `anthropic` unless set. At most what the server was started with."
    })
  ),
  overflow: Schema.optionalKey(
    Setting.choice(["cut", "summarize"], {
      meaning:
        "What happens to the oldest turns when they no longer fit: left out (`cut`, unless set), or summed up by the model."
    })
  ),
  temperature: Schema.optionalKey(Setting.number(0, 2, { meaning: "Left to the server unless set." })),
  images: Schema.optionalKey(
    Setting.flag({ meaning: "Whether images are sent: they are unless set, until the model refuses one." })
  ),
  requestTimeout: Schema.optionalKey(
    Setting.duration("1 second", "24 hours", {
      meaning: "A call that takes longer has failed: 15 minutes, or the pool's own time, unless set."
    })
  ),
  retries: Schema.optionalKey(
    Setting.integer(0, 10, {
      meaning: "How often a call is repeated at once that failed before its first word: 2 unless set."
    })
  ),
  stallTimeout: Schema.optionalKey(
    Setting.duration("1 second", "24 hours", {
      meaning:
        "A server that says nothing for this long has failed: 60 seconds unless set. A large model on a small machine needs more."
    })
  ),
  turnTimeout: common.turnTimeout
})

/** An agent, by its kind. */
export const Agent = Schema.Union([Demo, Command, Acp, ClaudeCode, Model])
/** An agent, by its kind. */
export type Agent = typeof Agent.Type
