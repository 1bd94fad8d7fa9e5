"""What each metric of the tasks means, in one line; a metric of a task of your own may be added."""

MEANINGS = {
    # Labels and tags
    "accuracy": "Share of the examples whose label is right.",
    "f1": "Harmonic mean of precision and recall of entities: exact span and type.",
    "precision": "Share of the predicted entities that are right.",
    "recall": "Share of the true entities that are found.",
    "f1_macro": "Mean of the F1 of each label or type: rare ones count as much as frequent ones.",
    "f1_micro": "F1 over all decisions together: frequent labels count more.",
    "f1_weighted": "Mean of the F1 of each label, weighted by how often the label occurs.",
    "f1_samples": "Mean of the F1 of each example's set of labels.",
    "f1_strict": "F1 of entities in which a tag sequence that breaks the IOB2 scheme is no entity.",
    "mcc": "Matthews correlation of predicted and true labels: 1 is perfect, 0 is chance, whatever the class balance.",
    "exact_match": "Share of the examples whose whole set of labels is right.",
    "hamming_loss": "Share of the single yes-or-no decisions about labels that are wrong; lower is better.",
    "threshold": "Probability above which a label counts as predicted; chosen on the validation data.",
    "token_f1_weighted": "Mean of the F1 of each tag, O included, weighted by how often the tag occurs.",
    # Numbers
    "r2": "Share of the variance of the numbers that is explained: 1 is perfect, 0 is always predicting the mean.",
    "rmse": "Root of the mean squared error, in the unit of the data: large errors count more; lower is better.",
    "mae": "Mean absolute error, in the unit of the data; lower is better.",
    "pearson": "Linear correlation of predicted and true numbers, from -1 to 1.",
    "spearman": "Correlation of the ranks of predicted and true numbers, from -1 to 1: only their order counts.",
    # Orders of documents
    "ndcg@10": "Gain of relevant documents among the first 10, discounted by rank; 1 is the best possible order.",
    "ndcg@3": "Gain of relevant documents among the first 3, discounted by rank; 1 is the best possible order.",
    "mrr": "Mean of 1 / rank of the first relevant document: 1 if it always comes first.",
    "mrr@10": "Mean of 1 / rank of the first relevant document, 0 beyond rank 10.",
    "map": "Mean over queries of the average precision at the ranks of the relevant documents.",
    "recall@1": "Share of the relevant documents that are ranked first.",
    "recall@3": "Share of the relevant documents that are among the first 3.",
    "recall@5": "Share of the relevant documents that are among the first 5.",
    "recall@10": "Share of the relevant documents that are among the first 10.",
    # Texts
    "perplexity": "Effective number of equally likely next tokens: 1 is certainty; lower is better.",
    "token_accuracy": "Share of the tokens or words that are predicted right, most of which may be easy.",
    "bleu": "Overlap of word sequences of 1 to 4 words with the reference translation, from 0 to 100.",
    "chrf": "Overlap of character sequences with the reference translation, from 0 to 100.",
    "rougeL": "F1 of the longest common subsequence of words with the reference, from 0 to 1.",
    "rouge1": "F1 of the words shared with the reference, from 0 to 1.",
    "rouge2": "F1 of the pairs of neighbouring words shared with the reference, from 0 to 1.",
    # Pairs of replies
    "preference_accuracy": "Share of the pairs in which the chosen reply has a higher reward than the rejected one.",
    "reward_margin": "By how much the reward of the chosen reply is higher than that of the rejected one; a mean.",
    "chosen_reward": "Mean reward of the chosen replies: beta times the log of how much likelier they have become.",
    "rejected_reward": "Mean reward of the rejected replies: below 0 they have become less likely.",
    # Every task
    "loss": "What the training minimizes, per scored label or token; only comparable within one task.",
}
