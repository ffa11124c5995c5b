package load

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// question is one request and the only right answer to it.
type question struct {
	stream bool
	text   string // what the model must say
	body   []byte
}

// phrases are what texts are made of, besides a number that no other text has.
var phrases = []string{
	"the keeper climbs the stairs", "a ship passes in the fog", "the lamp burns all night", "gulls sit on the rail",
	"rain runs down the glass", "the tide is low", "a bell rings far away", "the wind turns north",
}

// newQuestion makes a question whose answer is of so many phrases; number must be one that nobody else uses.
func newQuestion(model, number string, length int, stream bool, random *rand.Rand) (question, error) {
	var words strings.Builder
	words.WriteString(number)
	for range length {
		words.WriteString(", " + phrases[random.IntN(len(phrases))])
	}
	fmt.Fprintf(&words, ". End of %s.", number)
	q := question{stream: stream, text: words.String()}
	request := map[string]any{
		"stream": stream, "temperature": 0,
		"messages": []map[string]string{{"role": "user", "content": "Write " + number + "."}},
		// llama-server's grammars leave the model no choice but this text; a token has at least one letter.
		"grammar":    `root ::= "` + q.text + `"`,
		"max_tokens": len(q.text) + 8,
	}
	if model != "" {
		request["model"] = model
	}
	if stream {
		request["stream_options"] = map[string]bool{"include_usage": true}
	}
	var err error
	q.body, err = json.Marshal(request)
	return q, err
}
