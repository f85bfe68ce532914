"""The examples of the pages of help. Every one of them works, in a folder that has the files."""

from __future__ import annotations

START = (
    "chainrule pull                       # download the small model, once",
    'chainrule score "It is raining."',
    'chainrule explain "It is raining."   # every factor',
    "chainrule doctor                     # check the installation",
)

EXAMPLES = {  # by command, in the order of the help
    "score": (
        'chainrule score "It is raining. I need an umbrella."',
        'chainrule score " I need an umbrella." --context "It is raining."',
        "chainrule score --file items.csv --text-column sentence -o scores.csv",
        'chainrule score --file "shards/*.jsonl" --per token -o tokens.parquet',
    ),
    "corpus": (
        "chainrule corpus shards/ -o scored/",
        "chainrule corpus shards/a.jsonl -o scored/ --keep all --per both",
        "chainrule corpus shards/ -o scored/ --where 'bits_per_byte < 3' --into good/",
        "chainrule corpus shards/ --dry-run",
    ),
    "rank": (
        'chainrule rank "The capital of France is" " Paris" " London" " Rome"',
        'chainrule rank "The capital of France is" --file cities.txt --json',
    ),
    "next": (
        'chainrule next "The capital of France is"',
        'chainrule next "The capital of France is" --top 5 --json',
    ),
    "explain": (
        'chainrule explain "It is raining."',
        'chainrule explain " an umbrella" --context "It is raining. I need"',
        'chainrule explain "It is raining." --top 3 -o rain.svg',
        'chainrule explain "It is raining." --json',
    ),
    "page": (
        'chainrule page "It is raining. I need an umbrella." -o page.html',
        'chainrule page " are here." --compare " is here." --context "They" -o pair.html',
        'chainrule page "It is raining." --order right-to-left --model my-bert/ -o order.html',
    ),
    "lessons": (
        "chainrule lessons -o lessons/",
        'chainrule lessons "The umbrella kept the rain off." -o lessons/ --model my-model/',
    ),
    "pseudo": (
        'chainrule pseudo "It is raining." --model google-bert/bert-base-uncased',
        "chainrule pseudo --file texts.txt --model my-bert/ -o pseudo.csv",
    ),
    "words": (
        'chainrule words "The old man the boats."',
        "chainrule words --file sentences.csv --text-column sentence --previous 2 -o words.csv",
        "chainrule words --file regions.csv --regions sentence -o regions.parquet",
        "chainrule words --file rows.csv --by item,condition --word word -o words.csv",
    ),
    "pairs": (
        "chainrule pairs pairs.csv",
        "chainrule pairs pairs.csv --phenomenon type --per accuracy -o accuracy.csv",
        "chainrule pairs items.csv --by item --condition number --good plural",
    ),
    "choose": (
        "chainrule choose questions.jsonl",
        "chainrule choose questions.jsonl --template '{question}\\nAnswer:' --premise Answer: --shots 1 -o scored.csv",
        "chainrule choose goals.csv --question goal --choices sol1,sol2 --answer label --per accuracy",
        "chainrule choose questions.jsonl --per calibration --bins 5 --plot calibration.html",
    ),
    "suite": (
        "chainrule suite agreement.json",
        "chainrule suite agreement.json --per region -o regions.csv",
    ),
    "serve": (
        "chainrule serve",
        "chainrule serve my-model/ --port 8080 --api-key secret",
        "chainrule serve --model base=my-model/ --model tuned=my-tuned-model/",
    ),
    "lm-eval": (
        "chainrule lm-eval --model chainrule --model_args pretrained=my-model/ --tasks rain --include_path tasks/",
        "chainrule lm-eval run --help  # all arguments of the harness",
    ),
    "generate": (
        'chainrule generate "Once upon a time" --max-tokens 20',
        'chainrule generate "Once upon a time" --method sample -n 3 --seed 1',
        'chainrule generate "The capital of France is" --max-tokens 3 --explain',
        'chainrule generate "Is it raining?" --among " Yes" --among " No"',
    ),
    "infill": (
        'chainrule infill "It is ____." --model google-bert/bert-base-uncased',
        'chainrule infill "It is ____ and ____." --lengths 1,2 --model my-bert/',
    ),
    "verify": (
        "chainrule verify",
        "chainrule verify my-model/ --file texts.txt",
        "chainrule verify --code book.txt -o book.code",
        "chainrule verify --decode book.code -o copy.txt",
    ),
    "compare": (
        'chainrule compare "It is raining." --numbers -5.4357,-9.1829,-0.7836,-1.4374',
        'chainrule compare "It is raining." --numbers mine.json --json',
    ),
    "pull": ("chainrule pull", "chainrule pull smollm2-135m --json"),
    "models": ("chainrule models", "chainrule models --json"),
    "doctor": ("chainrule doctor", "chainrule doctor --json", "chainrule doctor --clear conversions"),
    "completion": ("chainrule completion bash --install", "chainrule completion zsh"),
}
