// Installs the library that runs ONNX models (0.5 GB), for the tests of `@sluice/pools` that run real ones. `.ci/run` comes
// through here; by hand: `node scripts/library.mjs`. Without it those tests are skipped and say so. Install scripts don't
// run: the one of its runtime would fetch what graphics cards need.
import { install } from "./onDemand.mjs"

const why = install("libraries", "transformers", {
  packages: ["@huggingface/transformers@4.3.1"],
  program: "node_modules/@huggingface/transformers/package.json"
})
if (why !== undefined)
  console.error(`library: @huggingface/transformers is not installed, its tests are skipped (${why})`)
