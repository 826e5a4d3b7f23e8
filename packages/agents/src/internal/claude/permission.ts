/**
 * The CLI asks whether it may use a tool, or asks a question of its own. By policy
 * a person is asked, or the answer is given at once. Nobody to ask and no answer
 * in time are a no: it then says what it could not do, and never waits for a
 * decision that can't come.
 */
import { type Message, record, records, text } from "./lines.ts"

/** Who decides: a person (`ask`), or always the same way. */
export type Policy = "ask" | "allow" | "deny"

/** One question for a person, and what the CLI is told by each option. */
export interface Question {
  readonly question: string
  readonly options: ReadonlyArray<string>
}

const allow = "Allow"
const always = "Always allow"
const deny = "Deny"

/** As long as the runtime stores of an option, so that what it hands back is recognised. */
const longestOption = 200
const longestDetail = 1500

/** The argument by which people recognise what a tool is about to do. */
const telling = ["command", "file_path", "notebook_path", "url", "query", "pattern", "plan", "prompt"]

/** What a tool works on, in its own words and shortened. */
export const detailOf = (input: Message | undefined, most: number): string => {
  const found = telling.map((name) => text(input, name)).find((value) => value !== undefined && value !== "")
  const detail = found ?? (input === undefined || Object.keys(input).length === 0 ? "" : JSON.stringify(input))
  return detail.length > most ? `${detail.slice(0, most)}...` : detail
}

const nameOf = (request: Message): string => text(request, "display_name") ?? text(request, "tool_name") ?? "a tool"

/** What may be remembered, so that the same is not asked again while this process lives. */
const suggestions = (request: Message): ReadonlyArray<Message> =>
  request["suppress_always_allow_rule"] === true
    ? []
    : records(request, "permission_suggestions").map((one) => ({ ...one, destination: "session" }))

/** Questions that the model asks the person by the tool made for it, each with its options. */
const questionsOf = (request: Message): ReadonlyArray<Question> =>
  text(request, "tool_name") === "AskUserQuestion"
    ? records(record(request, "input"), "questions").flatMap((one) => {
        const question = text(one, "question")
        const options = records(one, "options").flatMap((option) => {
          const label = text(option, "label")
          return label === undefined ? [] : [label.slice(0, longestOption)]
        })
        return question === undefined || options.length === 0 ? [] : [{ question, options }]
      })
    : []

/** What to ask a person, one after the other. */
export const asking = (request: Message): ReadonlyArray<Question> => {
  const questions = questionsOf(request)
  if (questions.length > 0) return questions
  const description = text(request, "description")
  const about = description === undefined ? "" : ` (${description})`
  const detail = detailOf(record(request, "input"), longestDetail)
  return [
    {
      question: `${nameOf(request)}${about}${detail === "" || detail === description ? "" : `: ${detail}`}`,
      options: suggestions(request).length === 0 ? [allow, deny] : [allow, always, deny]
    }
  ]
}

const denied = (message: string): Message => ({ behavior: "deny", message })
const nobody = denied("Nobody answered, so this is not allowed.")
const allowed = (request: Message): Message => ({
  behavior: "allow",
  updatedInput: record(request, "input") ?? {}
})

/** What the CLI is told, by what was chosen for each question; `undefined` where nothing was. */
export const decision = (request: Message, chosen: ReadonlyArray<string | undefined>): Message => {
  const questions = questionsOf(request)
  if (questions.length > 0) {
    const answers = questions.flatMap(({ question }, index) => {
      const option = chosen[index]
      return option === undefined ? [] : [[question, option] as const]
    })
    if (answers.length === 0) return nobody
    return {
      behavior: "allow",
      updatedInput: { ...record(request, "input"), answers: Object.fromEntries(answers) }
    }
  }
  switch (chosen[0]) {
    case allow:
      return allowed(request)
    case always:
      return { ...allowed(request), updatedPermissions: suggestions(request) }
    case undefined:
      return nobody
    default:
      return denied("The person said no.")
  }
}

/** The answer that a policy gives by itself. A question of the model's needs a person. */
export const byPolicy = (policy: "allow" | "deny", request: Message): Message =>
  policy === "allow" && questionsOf(request).length === 0
    ? allowed(request)
    : denied(policy === "allow" ? "Nobody can be asked here. Decide it yourself." : "This is not allowed here.")
