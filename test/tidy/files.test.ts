// What a file may look like: it opens by saying what it is for, it stays small enough to be read in one go, its names
// say something, and a test is a promise that runs. A limit that hurts usually points at a missing noun.
import { describe, expect, it } from "vitest"
import { files, matching, modules, modulesIn, read } from "./Repository.ts"

const sources = modulesIn(/^(packages|apps)\/[^/]+\/src\//)
const textFiles = files.filter((path) =>
  /\.(ts|mjs|json|md|ya?ml|sh|service|patch)$|(^|\/)(run|LICENSE|Dockerfile|\.[a-z]+)$/.test(path)
)

/** `path:line` of every match in the files. */
const mentions = (paths: ReadonlyArray<string>, pattern: RegExp): Array<string> =>
  paths.flatMap((path) =>
    read(path)
      .split("\n")
      .flatMap((line, index) => {
        const found = pattern.exec(line)
        return found === null ? [] : [`${path}:${index + 1} says ${found[0]}`]
      })
  )

describe("files", () => {
  it("every source file opens with two to eight lines of prose", () => {
    const wrong = sources
      .filter(({ header }) => header.length < 2 || header.length > 8)
      .map(({ header, path }) => `${path} opens with ${header.length}`)
    expect(wrong).toEqual([])
  })

  it("every test file opens with a comment", () => {
    expect(
      modulesIn(/\.test\.ts$/)
        .filter(({ header }) => header.length === 0)
        .map(({ path }) => path)
    ).toEqual([])
  })

  it("no file has more than 400 lines", () => {
    const long = modules.filter(({ lines }) => lines > 400).map(({ lines, path }) => `${path} has ${lines}`)
    expect(long).toEqual([])
  })

  it("no function of the sources has more than 70 lines of its own, nor 150 with those inside it", () => {
    const long = sources.flatMap(({ functions, path }) =>
      functions
        .filter(({ length, own }) => own > 70 || length > 150)
        .map(({ length, line, own }) => `${path}:${line} has ${own} of ${length}`)
    )
    expect(long).toEqual([])
  })

  it("the program's main.ts has at most 40 lines", () => {
    const long = modulesIn(/^apps\/gateway\/src\/main\.ts$/).filter(({ lines }) => lines > 40)
    expect(long.map(({ lines, path }) => `${path} has ${lines}`)).toEqual([])
  })

  it("no name is a word that fits everything", () => {
    const empty = /(Manager|Service|Handler|Impl|[a-z]Live|Utils?|Helpers?|Common)$/
    const names = modules.flatMap(({ declarations, path }) =>
      declarations.filter(({ name }) => empty.test(name)).map(({ line, name }) => `${path}:${line} ${name}`)
    )
    const named = files.filter((path) =>
      /(^|\/)([a-z]*(utils?|common|helpers?|misc)|\w*(Manager|Service|Handler|Impl|[a-z]Live))(\.[a-z.]+)?$/.test(path)
    )
    expect([...names, ...named]).toEqual([])
  })

  it("no test is skipped, focused or left for later", () => {
    // Except that who drives a real agent, which is installed on demand, says so when it is not there.
    const onDemand = (path: string) => /from "[./\w-]+\/installed\.ts"/.test(read(path))
    const wrong = modules.flatMap(({ path, tests }) =>
      tests
        .filter(({ modifiers }) =>
          modifiers.some((one) => (one === "skipIf" ? !onDemand(path) : /^(only|skip|runIf|todo|fails)$/.test(one)))
        )
        .map(({ line, title }) => `${path}:${line} ${title}`)
    )
    expect(wrong).toEqual([])
  })

  it("nothing names a machine's paths or a registry's host", () => {
    const own = new Set(["test/tidy/files.test.ts"])
    const paths = textFiles.filter((path) => !own.has(path))
    expect(
      mentions(paths, /(?<![\w.~])\/(tmp|work|farm|root|home|Users)\/[\w.-]+|registry\.[a-z]+js\.org|registry\.yarnpkg/)
    ).toEqual([])
  })

  it("nothing is marked as unfinished, and nothing speaks of how it was written", () => {
    const paths = textFiles.filter((path) => path !== "test/tidy/files.test.ts" && path !== "pnpm-lock.yaml")
    const unfinished = /\b(TODO|FIXME|XXX|HACK)\b|\bnot implemented\b/
    const maker =
      /\b(chatgpt|copilot|as an ai|language model wrote|co-authored-by|generated (by|with)|the brief)\b|\.\.\/shared\b/i
    expect([...mentions(paths, unfinished), ...mentions(paths, maker)]).toEqual([])
  })

  it("every worker of the sources is an entry of the bundle, under a name of its own", () => {
    const listed = /WORKERS = \[([^\]]*)\]/.exec(read("scripts/bundle.mjs"))?.[1] ?? ""
    const entries = [...listed.matchAll(/"([^"]+)"/g)].map(([, path = ""]) => path)
    const workers = matching(/^(packages|apps)\/[^/]+\/src\/.*Worker\.ts$/)
    const names = new Set(workers.map((path) => path.split("/").at(-1)))
    expect(entries.toSorted()).toEqual(workers)
    expect(names.size).toBe(workers.length)
  })
})
