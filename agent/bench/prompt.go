package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
)

// words are what prompts are made of: common ones, which most models have a token for.
const words = ` the of and to in is that for it as was with be by on not he his but at are this have from or had an they which
 one you were her all she there would their we him been has when who will more no if out so said what up its about into
 than them can only other new some could time these two may then do first any my now such like our over man me even most
 made after also did many before must through back years where much your way well down should because each just those people
 how too little state good very make world still own see men work long get here between both life being under never day same
 another know while last might us great old year off come since against go came right used take three`

// shortest is the prompt that stands for a depth of 0: each needs some tokens that no other has.
const shortest = 16

// prompts makes prompts of an exact number of tokens, no two of which begin alike for long: no cache helps.
type prompts struct {
	tokens []int
	random *rand.Rand
}

// newPrompts asks the tier how its model splits words.
func newPrompts(ctx context.Context, c Client, random *rand.Rand) (*prompts, error) {
	tokens, err := c.tokenize(ctx, strings.Join(strings.Fields(words), " "))
	if err != nil {
		return nil, err
	}
	slices.Sort(tokens)
	tokens = slices.Compact(tokens)
	if len(tokens) < shortest {
		return nil, errors.New("its model knows too few tokens to make prompts of")
	}
	return &prompts{tokens: tokens, random: random}, nil
}

// next is one more prompt, of so many tokens.
func (p *prompts) next(length int) []int {
	prompt := make([]int, length)
	for i := range prompt {
		prompt[i] = p.tokens[p.random.IntN(len(p.tokens))]
	}
	return prompt
}
