"""Industries: what a firm is called, makes, owns and sells to, so that a sentence fits together."""

from .grammar import Rules

INDUSTRIES: list[Rules] = [
    {
        "line": "Foods | Dairies | Bakeries | Brands",
        "trade": "food producer | bakery group | dairy company",
        "product": "frozen meals | biscuits | oat drinks | baby food | ready-made soups | yoghurt",
        "site": "bottling plant | bakery | cold store | creamery",
        "buyers": "supermarket chains | school canteens | restaurants | hotels",
    },
    {
        "line": "Bank | Savings | Credit | Financial",
        "trade": "lender | savings bank | regional bank",
        "product": "mortgages | business loans | student loans | savings accounts | credit cards",
        "site": "call centre | branch | data centre | payments office",
        "buyers": "small firms | first-time buyers | farmers | local councils",
    },
    {
        "line": "Shipping | Logistics | Freight | Lines",
        "trade": "freight carrier | ferry operator | logistics group",
        "product": "container services | ferry crossings | parcel deliveries | bulk cargoes",
        "site": "container terminal | sorting hub | warehouse | dry dock",
        "buyers": "exporters | online shops | car makers | grain traders",
    },
    {
        "line": "Systems | Software | Networks | Data",
        "trade": "software maker | network supplier | technology group",
        "product": "payroll software | security software | cloud services | mapping software | network switches",
        "site": "development centre | data centre | test laboratory",
        "buyers": "hospitals | public agencies | banks | universities",
    },
    {
        "line": "Pharma | Therapeutics | Diagnostics | Health",
        "trade": "drug maker | diagnostics firm | hospital supplier",
        "product": "blood tests | insulin pens | vaccines | eye drops | heart monitors",
        "site": "laboratory | filling plant | research centre",
        "buyers": "clinics | pharmacies | public hospitals | insurers",
    },
    {
        "line": "Engineering | Machinery | Robotics | Motors",
        "trade": "machine builder | engineering group | car parts maker",
        "product": "cranes | gearboxes | packaging machines | electric buses | tractors | brakes",
        "site": "foundry | assembly plant | paint shop | machine works",
        "buyers": "car makers | mines | city transport firms | farmers",
    },
    {
        "line": "Stores | Retail | Fashion | Home",
        "trade": "retailer | furniture chain | clothing chain",
        "product": "winter coats | garden furniture | running shoes | kitchens | school uniforms",
        "site": "flagship store | distribution centre | shopping arcade",
        "buyers": "families | hotels | online customers | students",
    },
    {
        "line": "Energy | Power | Renewables | Utilities",
        "trade": "utility | wind farm developer | power company",
        "product": "wind turbines | heat pumps | solar panels | smart meters | district heating",
        "site": "power station | wind farm | substation | gas terminal",
        "buyers": "households | aluminium smelters | city councils | data centres",
    },
    {
        "line": "Paper | Packaging | Steel | Materials",
        "trade": "paper maker | steel company | packaging group",
        "product": "cardboard | glass bottles | steel coils | insulation boards | printing paper",
        "site": "paper mill | rolling mill | sawmill | glassworks",
        "buyers": "publishers | brewers | shipyards | builders",
    },
    {
        "line": "Airlines | Hotels | Leisure | Travel",
        "trade": "airline | hotel operator | travel group",
        "product": "package holidays | charter flights | ski passes | conference rooms",
        "site": "hangar | resort | booking centre | airport lounge",
        "buyers": "tour operators | business travellers | families | sports clubs",
    },
]
