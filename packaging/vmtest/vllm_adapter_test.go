//go:build vllm && !vmtest

package vmtest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

// adaptedTier asks a tier by the name of its LoRA adapter and by its own: on its own port both once were answered by the model.
func adaptedTier(ctx context.Context, v *vllmBed) (string, error) {
	if err := v.writeAdapter("/var/lib/tierd/models/poet"); err != nil {
		return "", err
	}
	if _, err := v.Must(ctx, "systemctl stop "+coder+" && tierctl reload && tierctl start adapted"); err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, ask := range []struct {
		port  int
		model string
	}{{8023, "adapted"}, {8023, "poet"}, {8000, "adapted"}, {8000, "poet"}} {
		text, err := v.textOf(ctx, ask.port, ask.model)
		if err != nil {
			return "", err
		}
		if before, known := texts[ask.model]; known && before != text {
			return "", fmt.Errorf("%s said %q on its tier's port, and on port %d %q", ask.model, before, ask.port, text)
		}
		texts[ask.model] = text
	}
	if texts["poet"] == texts["adapted"] {
		return "", fmt.Errorf("model and adapter both said %q", texts["poet"])
	}
	_, err := v.Must(ctx, "tierctl stop adapted")
	return fmt.Sprintf("%q and %q", texts["adapted"], texts["poet"]), err
}

// textOf is what a model has to say, the likeliest words, with its name in the answer.
func (v *vllmBed) textOf(ctx context.Context, port int, model string) (string, error) {
	o := v.complete(ctx, port, model, 6, false, nil)
	var answer struct {
		Model   string
		Choices []struct{ Text string }
	}
	if !o.whole() || json.Unmarshal([]byte(o.text), &answer) != nil || len(answer.Choices) != 1 || answer.Model != model {
		return "", fmt.Errorf("%s on port %d was answered so: %v %s", model, port, o, o.text)
	}
	return answer.Choices[0].Text, nil
}

// writeAdapter makes a LoRA adapter for the bed's model that has it say other words: numbers of no meaning, added to what each
// layer's attention puts out.
func (v *vllmBed) writeAdapter(dir string) error {
	const layers, hidden, rank = 30, 576, 8
	config, err := json.Marshal(map[string]any{
		"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "smollm2-hf", "bias": "none",
		"r": rank, "lora_alpha": rank, "target_modules": []string{"o_proj"},
	})
	if err != nil {
		return err
	}
	var data []byte
	tensors := map[string]any{}
	add := func(name string, rows, columns int) {
		from := len(data)
		for i := range rows * columns {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i*7919%13-6)/16))
		}
		tensors[name] = map[string]any{"dtype": "F32", "shape": []int{rows, columns}, "data_offsets": []int{from, len(data)}}
	}
	for i := range layers {
		name := fmt.Sprintf("base_model.model.model.layers.%d.self_attn.o_proj.lora_", i)
		add(name+"A.weight", rank, hidden)
		add(name+"B.weight", hidden, rank)
	}
	head, err := json.Marshal(tensors)
	if err != nil {
		return err
	}
	// safetensors: the head's length, the head, the numbers.
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
	if err := v.WriteFile(dir+"/adapter_model.safetensors", append(file, data...), 0o644); err != nil {
		return err
	}
	return v.WriteFile(dir+"/adapter_config.json", config, 0o644)
}
